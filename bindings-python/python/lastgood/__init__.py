"""Database backups that have been restored.

    from lastgood import Vault

    with Vault(database="sqlite:shop.db", store="backups", key=os.environ["BACKUP_ENCRYPTION_KEY"]) as vault:
        backup = vault.backup()
        vault.drill(backup.id)

`AsyncVault` has the same verbs as coroutines. Every error is a `BackupError`. `python -m lastgood` is the command line.
"""

from ._async import AsyncSchedule as AsyncSchedule
from ._async import OnProgressAsync as OnProgressAsync
from ._calls import TimedOutError as TimedOutError
from ._errors import BackupError as BackupError
from ._lastgood import __version__ as __version__
from ._sync import OnProgress as OnProgress
from ._sync import Schedule as Schedule
from ._types import *  # noqa: F403
from ._values import Data as _Data
from ._vaults import AsyncVault as AsyncVault
from ._vaults import Vault as Vault

for _public in tuple(globals().values()):
    # Tracebacks show the public name. Reports keep theirs: pydantic looks up their annotations where they were made.
    if isinstance(_public, type) and not issubclass(_public, _Data):
        _public.__module__ = __name__
