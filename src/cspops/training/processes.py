"""What a training loop knows of the processes that train together."""

from dataclasses import dataclass

import torch.distributed as dist
from torch import nn

from cspops.shapes import Tensor


@dataclass(frozen=True)
class Processes:
    """This process, number ``rank`` of ``size``; with more than one, torch's process group has been initialised."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes what all have in common."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """Return this process's rows of a batch of ``n``: all of them where there are not two for each process.

        Batch norm needs two rows.
        """
        if n < 2 * self.size:
            return slice(0, n)
        least, more = divmod(n, self.size)
        start = self.rank * least + min(self.rank, more)
        return slice(start, start + least + (self.rank < more))

    def weight(self, n: int) -> float:
        """Return the factor by which means over shares of ``n`` rows average to the mean over the rows."""
        share = self.share(n)
        return 1.0 if n < 2 * self.size else (share.stop - share.start) * self.size / n

    def mean(self, tensor: Tensor) -> Tensor:
        """Average a tensor over the processes, with the same bits in each."""
        if self.size == 1:
            return tensor
        out = tensor.clone()
        dist.all_reduce(out)
        return out / self.size

    def agree(self, module: nn.Module) -> None:
        """Copy the first process's buffers to the others: until then each has batch-norm statistics of its own."""
        if self.size > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, 0)


ALONE = Processes()
