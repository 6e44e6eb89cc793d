"""Whether somebody is logged in to W&B here, told without W&B."""

import netrc
import os
from contextlib import suppress
from urllib.parse import urlsplit

__all__ = ["wandb_account"]


def wandb_account() -> tuple[bool, str]:
    """Whether a key is kept where W&B looks for one, and where; it is not tried."""
    url = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    if os.environ.get("WANDB_API_KEY"):
        return True, "a key is in WANDB_API_KEY"
    file = os.environ.get("NETRC") or os.path.expanduser("~/.netrc")
    with suppress(OSError, netrc.NetrcParseError):
        if netrc.netrc(file).authenticators(urlsplit(url).hostname or ""):
            return True, f"a key is in {file}"
    return False, "no key: `wandb login` keeps one"
