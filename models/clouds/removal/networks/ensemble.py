"""An ensemble of networks, each trained without other parts of the imagery; their mean prediction fills.

A network's prediction depends on which few dates were held out of its training. Together the members are
trained on everything, and each has held-out blocks and dates on which sigma is calibrated: by the members'
own errors, which are no smaller than those of their mean (as in cross-conformal prediction,
Vovk 2015).
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Self

import numpy as np
import xarray as xr

from features.errors import ModelError
from features.workers import Progress
from models.clouds.removal.bundle import read_bundle, write_bundle
from models.clouds.removal.cube import Cube, trusted
from models.clouds.removal.inputs.channel_selection import choose_channels
from models.clouds.removal.inputs.windows import Windows, draw_windows
from models.clouds.removal.intervals import factors
from models.clouds.removal.networks.by_name import network_of
from models.clouds.removal.networks.frames import Filled, correct_frames
from models.clouds.removal.options import CloudRemovalOptions
from models.clouds.removal.remover import Remover, check_same_bands

if TYPE_CHECKING:
    from models.clouds.removal.networks.training import OnEpoch


class NetworkEnsemble(Remover):
    """An ensemble of networks: the mean of their predictions fills.

    Attributes
    ----------
    members
        Networks with one channels and seeds of their own.
    """

    def __init__(self, options: CloudRemovalOptions) -> None:
        kind = network_of(options.method)
        self.name, self.margin_px = kind.name, kind.margin_px
        self.options = options
        self.members = [
            kind(options.model_copy(update={"seed": options.seed + k})) for k in range(options.members)
        ]
        self.factor: np.ndarray = np.empty(0)  # (gap bin, band), on sigma

    @property
    def history(self) -> list[dict[str, float]]:
        """Return one row an epoch and member, as `Learned.history` has them, with `member` beside."""
        return [{"member": float(k), **row} for k, m in enumerate(self.members) for row in m.history]

    def fit(
        self,
        stacks: Iterable[xr.Dataset],
        progress: Progress | None = None,
        checkpoint: Path | None = None,
        on_epoch: "OnEpoch | None" = None,
    ) -> Self:
        """Train each member on windows of stacks `(time, band, y, x)`, in as many threads as there are
        processors.

        Parameters
        ----------
        checkpoint
            A folder, in which each member has its own.
        on_epoch
            Called with the first member's epochs and figures.
        """
        pool = draw_windows(stacks, self.options, np.random.default_rng(self.options.seed))
        splits = [pool.windows_of(k) for k in range(len(self.members))]
        channels = choose_channels(splits[0].train, self.options, self.name, pool.sources)
        for member in self.members:
            member.begin(channels)
        self._learn(splits, progress, checkpoint, on_epoch)
        self.factor = factors([m.residuals(split) for m, split in zip(self.members, splits, strict=True)])
        return self

    def _learn(
        self,
        splits: list[Windows],
        progress: Progress | None,
        folder: Path | None,
        on_epoch: "OnEpoch | None",
    ) -> None:
        stop = Event()
        done = [0] * len(splits)

        def ended(number: int, epoch: int, figures: dict[str, float]) -> None:
            if on_epoch and number == 0:
                on_epoch(epoch, figures)
            if stop.is_set():
                raise InterruptedError

        def report(number: int, epochs: int, most: int) -> None:
            done[number] = epochs
            if progress:
                progress(sum(done), most * len(done))

        with ThreadPoolExecutor(min(len(splits), os.cpu_count() or 1)) as threads:
            futures = [
                threads.submit(
                    member.learn, split, partial(report, k), folder and folder / str(k), partial(ended, k)
                )
                for k, (member, split) in enumerate(zip(self.members, splits, strict=True))
            ]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                stop.set()
                threads.shutdown(cancel_futures=True)
                raise

    def check_bands(self, bands: tuple[str, ...]) -> None:
        """Raise where the method is not fitted, or learnt other bands."""
        channels = self.members[0].channels
        if channels is None:
            raise ModelError(f"{self.name} is not fitted; call fit first, or load a fitted model.")
        check_same_bands(bands, channels.bands, self.name)

    def frames(self, cube: Cube) -> Iterator[Filled]:
        """Yield each frame with anything missing, filled."""
        wanted = np.flatnonzero(~cube.clear.all(axis=(1, 2)))
        channels = self.members[0].channels
        assert channels is not None
        cube = cube if channels.trust_all else trusted(cube)
        return correct_frames(cube, wanted, channels, self.options.reduction, self.predict, self.factor)

    def predict(self, inputs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the members' mean reflectance and mean sigma, `(n, y, x, band)` each."""
        values, spreads = zip(*(member.predict(inputs) for member in self.members), strict=True)
        return np.mean(values, axis=0), np.mean(spreads, axis=0)

    def save(self, folder: Path) -> Path:
        """Write all members in one bundle."""
        metas = [member.meta() for member in self.members]
        weights = {
            f"member{k}.weight{j}": weight
            for k, member in enumerate(self.members)
            for j, weight in enumerate(member.weights())
        }
        meta = {"name": self.name, "options": self.options.model_dump(mode="json"), "members": metas}
        return write_bundle(folder, meta, {**weights, "factor": self.factor})

    @classmethod
    def load(cls, folder: Path, sha256: str | None = None) -> Self:
        """Read what `save` wrote."""
        meta, arrays = read_bundle(folder, sha256)
        model = cls(CloudRemovalOptions(**meta["options"]))
        model.factor = arrays["factor"]
        for k, (member, described) in enumerate(zip(model.members, meta["members"], strict=True)):
            own = {n.partition(".")[2]: a for n, a in arrays.items() if n.startswith(f"member{k}.")}
            model.members[k] = member.rebuilt(described, own)
        return model
