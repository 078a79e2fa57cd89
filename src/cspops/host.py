"""Where things run: settings from the environment that never change a result.

CSPOPS_DEVICE      auto (a GPU where there is one), cpu, cuda, cuda:1 ...
CSPOPS_DATA_ROOT   folder of images that the catalogue names by path
"""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic_settings import BaseSettings, SettingsConfigDict

from cspops.errors import EnvironmentProblem

if TYPE_CHECKING:
    import torch


class Host(BaseSettings):
    """The CSPOPS_* variables."""

    model_config = SettingsConfigDict(env_prefix="CSPOPS_", frozen=True)

    device: str = "auto"
    data_root: Path = Path()

    def torch_device(self) -> "torch.device":
        """The device to compute on; EnvironmentProblem when CSPOPS_DEVICE names one that is not there."""
        import torch

        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            device = torch.device(self.device)
            torch.zeros(1, device=device).item()
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0][:120]
            raise EnvironmentProblem(
                f"CSPOPS_DEVICE={self.device} cannot be used: {reason}", hint="set it to cpu, cuda or auto"
            ) from None
        return device
