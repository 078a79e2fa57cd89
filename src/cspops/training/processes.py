"""What a training loop knows of the processes that train together."""

from dataclasses import dataclass

import torch.distributed as dist
from torch import nn

from cspops.shapes import Tensor


@dataclass(frozen=True)
class Processes:
    """This process, number ``rank`` of ``size``; with more than one, a process group of torch is there."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this one writes what all have in common."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """The rows of a batch of ``n`` that are this process's; all of them where not each can have two.

        (Batch norm needs two rows.)
        """
        if n < 2 * self.size:
            return slice(0, n)
        least, more = divmod(n, self.size)
        start = self.rank * least + min(self.rank, more)
        return slice(start, start + least + (self.rank < more))

    def weight(self, n: int) -> float:
        """What makes means over shares of ``n`` rows average to the mean over the rows."""
        share = self.share(n)
        return 1.0 if n < 2 * self.size else (share.stop - share.start) * self.size / n

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean of a tensor over the processes, with the same bits in each."""
        if self.size == 1:
            return tensor
        out = tensor.clone()
        dist.all_reduce(out)
        return out / self.size

    def agree(self, module: nn.Module) -> None:
        """Give every process the first one's buffers: batch-norm statistics are each one's own until then."""
        if self.size > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, 0)


ALONE = Processes()
