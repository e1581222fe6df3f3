"""Record what other Keras releases answer that `record.py` does not run on: small models in the same layout.

    python record_others.py addons      needs tensorflow 2.15 and tensorflow_addons 0.23 (Python 3.9 to 3.11)
    python record_others.py normalised    needs the same
    python record_others.py pruned      needs the first, and tensorflow_model_optimization 0.7.5
    python record_others.py tf23        needs tensorflow 2.3 (Python 3.8), which recorded nodes of TensorFlow's graph
    python record_others.py tf23_nodes  needs the same
    python record_others.py tf23_whole_numbers  needs the same
    python record_others.py attention   needs a TensorFlow of Keras 3 and keras 3.4.1
    python record_others.py adapted_attention  needs the same and keras 3.15
    python record_others.py whole_numbers  needs the same and keras 3.6.0, 3.10.0 or 3.11.0

Never record again to make a test pass: see README.md.
"""

import os
import sys
import zipfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

FOLDER = Path(os.environ.get("GOLDEN_DIR", Path(__file__).resolve().parent))
k, rng = tf.keras, np.random.default_rng(5)


def record(name, inputs, outputs, values, forms):
    model = k.Model(inputs, outputs)
    model.set_weights([rng.normal(0, 0.6, w.shape).astype(np.float32) for w in model.get_weights()])
    write(name, model, values, forms)


def write(name, model, values, forms):
    before = [w.copy() for w in model.get_weights()]
    answers = model.predict(values)
    answers = answers if isinstance(answers, list) else [answers]
    model.set_weights(before)  # a wrapper of weights may set some at its first batch
    for form in forms:
        path = FOLDER / f"{name}.{form}"
        model.save(str(path), **({"include_optimizer": False} if form == "h5" else {}))
        if form == "keras":
            deflate(path)
    named = {f"output_{n}": answer for n, answer in enumerate(answers)}
    np.savez_compressed(FOLDER / f"{name}.npz", input_0=values, **named)


def deflate(path):
    """The same members, compressed, as in `record.py`."""
    with zipfile.ZipFile(path) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for info, content in members:
            archive.writestr(info, content, zipfile.ZIP_DEFLATED, 9)


def addons():
    import tensorflow_addons as tfa

    values = rng.normal(size=(4, 6, 3)).astype(np.float32)
    cells = {
        "peephole": lambda: tfa.rnn.PeepholeLSTMCell(3), "layer_norm_lstm": lambda: tfa.rnn.LayerNormLSTMCell(4),
        "layer_norm_simple": lambda: tfa.rnn.LayerNormSimpleRNNCell(3), "esn": lambda: tfa.rnn.ESNCell(5, leaky=0.6),
        "nas": lambda: tfa.rnn.NASCell(3, projection=2, use_bias=True),
    }
    for name, cell in cells.items():
        x = k.Input((6, 3))
        backwards = k.layers.RNN(cell(), return_sequences=True, return_state=True, go_backwards=True)(x)
        both = k.layers.Bidirectional(k.layers.RNN([cell(), k.layers.GRUCell(2)]))(x)
        forms = ("keras",) if name in ("esn", "nas") else ("h5", "keras")
        record(f"addons_{name}", x, [*backwards, both], values, forms)
    x = k.Input((6, 3))
    outputs = [*tfa.layers.CRF(4)(x), tfa.layers.ESN(5, return_sequences=True)(x)]
    outputs += tfa.layers.CRF(3, use_kernel=False, use_boundary=False)(x)
    record("addons_crf", x, outputs, values, ("h5", "keras"))
    lengths = np.arange(1, 7)
    ids = np.where(np.arange(6) < lengths[:, None], rng.integers(1, 5, (6, 6)), 0)
    x = k.Input((6,))
    y = k.layers.LSTM(3, return_sequences=True)(k.layers.Embedding(5, 2, mask_zero=True)(x))
    record("addons_crf_masked", x, tfa.layers.CRF(4)(y), ids, ("keras",))


def normalised():
    from tensorflow_addons.layers import WeightNormalization as Normalised

    ids = np.where(np.arange(6) < np.array([[2], [6], [1], [4]]), rng.integers(1, 6, (4, 6)), 0)
    for name, data_init in (("", False), ("_by_data", True)):
        inside = k.Sequential([Normalised(k.layers.Dense(3, activation="relu"), data_init, input_shape=(4,)),
                               Normalised(k.layers.Dense(2, use_bias=False), data_init)])
        x = k.Input((6,))
        h = k.layers.Embedding(6, 3, mask_zero=True)(x)
        h = Normalised(k.layers.LSTM(4, return_sequences=True), data_init)(h)
        masked = k.layers.GRU(3)(h)
        h = Normalised(k.layers.Conv1D(4, 2, padding="same"), data_init)(h)
        layers = [k.layers.TimeDistributed(Normalised(k.layers.Dense(3), data_init))(h), k.layers.TimeDistributed(inside)(h),
                  Normalised(k.layers.RNN(k.layers.SimpleRNNCell(3)), data_init)(h), masked]
        model = k.Model(x, layers)
        model.predict(ids)
        model.set_weights([w if w.dtype == bool else rng.normal(0, 0.6, w.shape) for w in model.get_weights()])
        write(f"addons_normalised_weights{name}", model, ids, ("h5", "keras") if data_init else ("keras",))
    x = k.Input((6, 3))
    unused = k.Model(x, Normalised(k.layers.LSTM(3), data_init=False)(x))
    write("addons_normalised_weights_unused", unused, rng.normal(size=(4, 6, 3)).astype(np.float32), ("h5",))


def pruned():
    from tensorflow_model_optimization.sparsity.keras import prune_low_magnitude

    values = rng.normal(size=(4, 5, 3)).astype(np.float32)
    for name, inner, forms in (("dense", k.layers.Dense(4), ("h5", "keras")), ("gru", k.layers.GRU(4), ("keras",))):
        layers = [prune_low_magnitude(inner, input_shape=(5, 3)), k.layers.LSTM(3), prune_low_magnitude(k.layers.Dense(2))]
        model = k.Sequential(layers if name == "dense" else layers[::2])
        model.set_weights([w if w.shape == () else rng.normal(0, 0.6, w.shape) for w in model.get_weights()])
        write(f"pruned_{name}", model, values, forms)


def tf23():
    x = k.Input((5, 4))
    h = k.layers.LSTM(4, return_sequences=True)(x)
    size = tf.shape(h)
    outputs = [
        h[:, -1], h[:, ::2, 1:], h[..., tf.newaxis, 1:], 1 - h, h * 2.0, -h, h**2, tf.tanh(h), h / 3.0,
        tf.where(h > 0, h, tf.zeros_like(h)), tf.clip_by_value(h, -0.1, 0.1), tf.cast(h > 0, tf.int32),
        tf.reduce_mean(h, axis=1, keepdims=True), tf.reduce_sum(h, axis=[1, 2]), tf.nn.softmax(h),
        tf.matmul(h, x, transpose_b=True), tf.einsum("btf,bsf->bts", h, x),
        tf.tensordot(h, [[1.0], [2.0], [3.0], [4.0]], 1),
        tf.reshape(h, [size[0], size[1] * size[2]]), tf.concat([h, x], -1), tf.stack([h, x], axis=1),
        *tf.split(h, 2, axis=-1), tf.unstack(h, axis=1)[0], tf.transpose(h, [0, 2, 1]), tf.gather(h, [2, 0], axis=1),
        tf.pad(h, [[0, 0], [1, 0], [0, 2]]), tf.tile(h, [1, 2, 1]), tf.one_hot(tf.argmax(h, -1), 4), tf.reverse(h, [1]),
        tf.squeeze(tf.slice(h, [0, 0, 0], [-1, 1, -1]), 1), k.backend.batch_dot(h, x, axes=2),
    ]  # fmt: skip
    record("tf23_operations", x, outputs, rng.normal(size=(3, 5, 4)).astype(np.float32), ("h5",))


def tf23_nodes():
    """Nodes that only functions with other names make."""
    raw, backend = tf.raw_ops, k.backend
    x = k.Input((4, 6))
    h = k.layers.LSTM(6, return_sequences=True)(x)
    image, filters = tf.reshape(h, (-1, 4, 3, 2)), tf.constant(rng.normal(size=(3, 3, 2, 4)).astype(np.float32))
    matrix = tf.constant(rng.normal(size=(6, 5)).astype(np.float32))
    volume, whole = tf.reshape(h, (-1, 2, 2, 3, 2)), tf.cast(h * 10, tf.int32)
    outputs = [
        backend.dot(h, matrix), backend.dot(h[:, 0], matrix), tf.gather_nd(h, tf.cast(h[:, :2, :1] > 0, tf.int32), 1),
        tf.nn.avg_pool2d(image, 2, 1, "SAME"), tf.nn.max_pool2d(image, [2, 1], [1, 2], "VALID"),
        tf.nn.max_pool3d(volume, 2, 1, "VALID"), tf.nn.avg_pool3d(volume, 2, 1, "SAME"),
        tf.nn.conv2d(image, filters, 1, "SAME"), tf.nn.conv2d(image, filters[:2, :2], 1, "SAME", dilations=2),
        tf.nn.conv2d(image, filters, 1, [[0, 0], [1, 2], [0, 1], [0, 0]]),
        tf.nn.depthwise_conv2d(image, filters[..., :2], [1, 1, 1, 1], "SAME"), tf.nn.conv1d(h, matrix[None], 1, "SAME"),
        tf.linalg.diag(h), tf.linalg.diag(h[:, :2], k=(0, 1)), tf.linalg.diag(h[:, 0], k=1, padding_value=2.0),
        tf.linalg.diag_part(h), tf.linalg.diag_part(h, k=(-1, 1)), tf.linalg.set_diag(h, h[:, :, 0]),
        raw.MatrixDiagV2(diagonal=h[:, :2], k=[0, 1], num_rows=-1, num_cols=-1, padding_value=0.5),
        raw.MatrixDiagPartV2(input=h, k=[-1, 1], padding_value=0.0), raw.MatrixDiagPart(input=h[:, :, :4]),
        tf.linalg.band_part(h, 1, 0), tf.math.multiply_no_nan(h, tf.nn.relu(h)), tf.truncatemod(h, 0.7),
        tf.truncatemod(whole, 3), tf.truncatediv(whole, 3), tf.math.xlogy(h, tf.abs(h)), tf.math.xdivy(h, 2.0),
        tf.math.lgamma(h * 3), tf.nn.space_to_depth(tf.reshape(h, (-1, 4, 2, 3)), 2), tf.linalg.det(h[:, :4, :4]),
        tf.nn.depth_to_space(tf.reshape(h, (-1, 2, 3, 4)), 2), raw.Bucketize(input=h, boundaries=[-0.5, 0.0, 0.5]),
        raw.FusedBatchNormV3(x=image, scale=[1.0, 2.0], offset=[0.0, 1.0], mean=[0.1, 0.2], variance=[1.0, 3.0],
                             is_training=False)[0],
    ]  # fmt: skip
    record("tf23_nodes", x, outputs, rng.normal(size=(3, 4, 6)).astype(np.float32), ("h5",))


def attention():
    """Attention on the masked sum of an input and an attention: the graph says which mask its query has."""
    import keras

    ids = keras.Input((5,), dtype="int32")
    e = keras.layers.Embedding(9, 4, mask_zero=True)(ids)
    y = keras.layers.LayerNormalization()(keras.layers.Add()([e, keras.layers.MultiHeadAttention(2, 3)(e, e)]))
    model = keras.Model(ids, keras.layers.MultiHeadAttention(2, 3)(y, y))
    model.set_weights([rng.normal(0, 0.7, w.shape) for w in model.get_weights()])
    values = np.array([[1, 2, 3, 0, 0], [4, 0, 5, 6, 0], [7, 8, 1, 2, 3], [2, 0, 0, 0, 0]], np.int32)
    write(f"keras{keras.__version__.replace('.', '')}_stacked_attention", model, values, ["keras"])


def tf23_whole_numbers():
    x, layers = k.Input((4, 3), dtype="int32"), k.layers
    kept = [layers.ThresholdedReLU(1.5), layers.ReLU(2.5), layers.ReLU(2.5, 1.5), layers.LeakyReLU(0.5)]
    more = [layers.GlobalAveragePooling1D(), layers.Dense(2), layers.Flatten()]
    values = rng.integers(-3, 6, (3, 4, 3)).astype(np.int32)
    record("tf23_whole_numbers", x, [layer(x) for layer in kept + more], values, ["h5"])


def whole_numbers():
    """Normalizations of them, which Keras 3 began to round one after the other."""
    import keras

    x, layers = keras.Input((4, 6), dtype="int32"), keras.layers
    found = [layers.LayerNormalization(), layers.SpectralNormalization(layers.Dense(3)), layers.BatchNormalization()]
    found += [layers.Discretization([0.5, 2.5])]
    if keras.__version__ != "3.6.0":  # where it refused them
        found.append(layers.GroupNormalization(2))
    if keras.__version__ == "3.11.0":
        found.append(layers.RMSNormalization())
    model = keras.Model(x, [layer(x) for layer in found])
    model.set_weights([np.abs(rng.normal(1, 0.7, w.shape)) for w in model.get_weights()])
    values = rng.integers(-3, 6, (3, 4, 6)).astype(np.int32)
    write(f"keras{keras.__version__.replace('.', '')}_whole_numbers", model, values, ["keras"])


def adapted_attention():
    """Quantised attention with LoRA: Keras merges and rounds it anew when it saves it, and cannot load that.

    The answers are those of Keras's own layers once they have taken the arrays of the file.
    """
    import h5py
    import keras

    def build():
        x = keras.Input((5, 6))
        layers = keras.layers
        attention = [layers.MultiHeadAttention(2, 3, name="heads"), layers.GroupQueryAttention(3, 4, 2, name="groups")]
        return keras.Model(x, attention[1](attention[0](x, x), x)), attention

    for mode in ("int8", "int4"):
        model, attention = build()
        model.set_weights([rng.normal(0, 0.6, w.shape) for w in model.get_weights()])
        model.quantize(mode)
        inside = [layer for outer in attention for layer in outer._flatten_layers() if hasattr(layer, "enable_lora")]
        for layer in inside:
            layer.enable_lora(2, lora_alpha=3)
            layer.lora_kernel_b.assign(rng.normal(0, 0.5, layer.lora_kernel_b.shape))
        path = FOLDER / "keras_cannot_load" / f"keras3_adapted_attention_{mode}.keras"
        model.save(str(path))
        with zipfile.ZipFile(path) as archive:
            archive.extract("model.weights.h5", "/tmp")
        fresh, attention = build()
        fresh.quantize(mode)
        with h5py.File("/tmp/model.weights.h5") as file:
            for group, outer in zip(("multi_head_attention/", "grouped_query_attention/_"), attention):
                for word in ("query", "key", "value", "output"):
                    arrays = file[f"layers/{group}{word}_dense/vars"]
                    getattr(outer, f"_{word}_dense").load_own_variables({key: arrays[key][()] for key in arrays})
        deflate(path)
        values = rng.normal(size=(3, 5, 6)).astype(np.float32)
        answers = {"input_0": values, "output_0": fresh.predict(values)}
        np.savez_compressed(FOLDER / f"keras3_adapted_attention_{mode}.npz", **answers)


if __name__ == "__main__":
    {"adapted_attention": adapted_attention, "tf23_whole_numbers": tf23_whole_numbers, "whole_numbers": whole_numbers,
     "attention": attention, "tf23_nodes": tf23_nodes, "addons": addons, "normalised": normalised, "pruned": pruned, "tf23": tf23}[sys.argv[1]]()
