"""Makes threads share the units of every timestep, however little there is to do and whatever it costs."""

from lstm_infer.layers import sequences, sharing


def share_everything(monkeypatch):
    for name in ("SHARED_WORK", "QUICK_WORK", "STEP_WORK"):
        monkeypatch.setattr(sequences, name, 0)
    monkeypatch.setattr(sharing, "PAUSE", 0)
    monkeypatch.setattr(sequences, "cpus", lambda: 64)
