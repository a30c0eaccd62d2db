"""An interrupt from the keyboard that waits until nothing is half done."""

from __future__ import annotations

# Without the module ``signal`` around it, which looks for enums in handlers: 9 µs for what is done here, at
# every operation.
import _signal as signal  # type: ignore[import-not-found]
from types import FrameType


class Held:
    """While this is entered, an interrupt is noted and nothing else; it is raised where it is left, or by
    ``release``.

    A second one does not wait.  In other threads than the main one, and where a program has a handler of its
    own, this does nothing.
    """

    __slots__ = ("_active", "_holds", "came")

    def __init__(self, active: bool = True) -> None:
        self._active, self._holds, self.came = active, False, False

    def __enter__(self) -> None:
        if self._active and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            try:
                signal.signal(signal.SIGINT, self._hear)
            # not the main thread, which is where interrupts are raised
            except ValueError:
                return
            self._holds = True

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._holds:
            self._holds = False
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if error is None:
            self.release()
        self.came = False

    def release(self) -> None:
        """Raise the interrupt that has come, if one has."""
        if self.came:
            self.came = False
            raise KeyboardInterrupt

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came = True
