"""Which session is in which slot, and when it was last there."""

import numpy as np

from ..errors import InputError


class CapacityError(InputError):
    """A pool has no room for more sessions."""


class Directory:
    """The slots of sessions, by their ids.

    Parameters
    ----------
    capacity : int
        Slots.
    idle : float or None
        Seconds after which a session may go where another needs its slot.
    clock : callable
        Returns seconds.
    """

    def __init__(self, capacity, idle, clock):
        self.capacity, self.idle, self._clock = capacity, idle, clock
        self._slots, self._free = {}, list(range(capacity - 1, -1, -1))
        self._used, self._place = np.zeros(capacity), np.zeros(capacity, np.int64)

    def __len__(self):
        return len(self._slots)

    def __contains__(self, id):
        return id in self._slots

    def ids(self):
        """Return the ids, a list."""
        return list(self._slots)

    def slot(self, id):
        """Return the slot of a session that exists."""
        return self._slots[id]

    def slots(self):
        """Return the slots of all sessions, an int64 array in the order of `ids`."""
        return np.array(list(self._slots.values()), np.int64)

    def ages(self):
        """Return the seconds since each session was found, in the order of `ids`."""
        return self._clock() - self._used[self.slots()]

    def find(self, ids):
        """Return the slots of sessions, an int64 array, and those among them that are new, a list.

        Raises
        ------
        InputError
            An id comes twice; nothing has changed.
        CapacityError
            There is no room for the new ones; nothing has changed.
        """
        found, new = list(map(self._slots.get, ids)), []
        if None in found:
            new = self._open(ids, found)
            found = list(map(self._slots.get, ids))
        slots = np.array(found, np.int64)
        number = np.arange(len(slots))
        self._place[slots] = number
        if (self._place[slots] != number).any():
            raise InputError("found a session twice among the ids, expected each once")
        self._used[slots] = self._clock()
        return slots, new

    def _open(self, ids, found):
        new = [id for id, slot in zip(ids, found, strict=True) if slot is None]
        if len(set(ids)) != len(found):
            raise InputError("found a session twice among the ids, expected each once")
        if len(new) > len(self._free) and self.idle is not None:
            self.evict(self.idle, keep=ids)
        if len(new) > len(self._free):
            raise CapacityError(
                f"found {len(new)} new sessions beside {len(self)}, expected {self.capacity} at most "
                f"(close some, or give the pool more capacity)"
            )
        slots = [self._free.pop() for _ in new]
        self._slots.update(zip(new, slots, strict=True))
        return slots

    def close(self, ids):
        """Forget sessions; ids that are not there are passed over."""
        for id in ids:
            slot = self._slots.pop(id, None)
            if slot is not None:
                self._free.append(slot)

    def evict(self, idle, keep=()):
        """Forget the sessions that were not found for so many seconds; return their ids."""
        until, keep = self._clock() - idle, set(keep)
        ids = [id for id, slot in self._slots.items() if self._used[slot] <= until and id not in keep]
        self.close(ids)
        return ids

    def replace(self, ids, ages):
        """Have these sessions and no others, found so many seconds ago; return their slots.

        Raises
        ------
        CapacityError
            There is no room for them; nothing has changed.
        """
        if len(ids) > self.capacity:
            raise CapacityError(f"found {len(ids)} sessions, expected {self.capacity} at most")
        self.close(self.ids())
        slots = [self._free.pop() for _ in ids]
        self._slots.update(zip(ids, slots, strict=True))
        self._used[slots] = self._clock() - np.maximum(np.nan_to_num(ages), 0)
        return slots
