"""How far the log was after the last write, so that the next command sees what this one did."""

import contextlib
import json
import tempfile
from pathlib import Path

FILE = "positions.json"


class Positions:
    """One position per API. Only a comfort: where nothing can be kept, nothing is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, str] | None = None

    def of(self, url: str) -> str | None:
        """Return the last position that we were told of."""
        return self._all().get(url)

    def reached(self, url: str, position: str) -> None:
        """Remember a position."""
        if position.isdecimal() and int(position) > int(self.of(url) or 0):
            self._write({**self._all(), url: position})

    def forget(self, url: str) -> None:
        """Forget the position: it was another log's."""
        self._write({name: kept for name, kept in self._all().items() if name != url})

    def _all(self) -> dict[str, str]:
        if self._known is None:
            self._known = {}
            with contextlib.suppress(OSError, ValueError):
                said = json.loads((self._folder / FILE).read_text(encoding="utf-8"))
                self._known = {str(k): str(v) for k, v in said.items() if str(v).isdecimal()}
        return self._known

    def _write(self, known: dict[str, str]) -> None:
        self._known = known
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.NamedTemporaryFile(
                "w", dir=self._folder, prefix=f".{FILE}-", delete=False
            ) as file:
                json.dump(known, file)
            Path(file.name).replace(self._folder / FILE)
