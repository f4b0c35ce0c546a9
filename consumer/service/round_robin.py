"""A queue that serves its owners in turn."""

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class RoundRobin(Generic[_Item]):
    """A queue of many owners' items, which takes one of each owner in turn, each owner's in order.

    Between two turns of others, one owner that has had no turn yet may go first.
    """

    def __init__(self) -> None:
        # Owners with items only; the first is served next.
        self._items: dict[Hashable, deque[_Item]] = {}
        self._new: dict[Hashable, deque[_Item]] = {}
        self._last_was_new = False

    def add(self, owner: Hashable, item: _Item, *, goes_first: bool = False) -> None:
        """Queue an item; an owner without others is served after all that wait, or `goes_first`."""
        is_new = owner in self._new or (goes_first and owner not in self._items)
        owners = self._new if is_new else self._items
        owners.setdefault(owner, deque()).append(item)

    def take(self, count: int) -> list[_Item]:
        """Remove and return up to `count` items."""
        taken: list[_Item] = []
        while (self._items or self._new) and len(taken) < count:
            self._last_was_new = bool(self._new) and not (self._last_was_new and self._items)
            owners = self._new if self._last_was_new else self._items
            owner, items = next(iter(owners.items()))
            del owners[owner]
            taken.append(items.popleft())
            if items:
                self._items[owner] = items
        return taken

    def discard(self, owner: Hashable) -> list[_Item]:
        """Remove and return all items of one owner."""
        return [*self._items.pop(owner, ()), *self._new.pop(owner, ())]
