"""git: a working tree, a mirror, their history. The only part that starts git (`running`)."""

from perfsuite.git.addresses import remote_name
from perfsuite.git.definitions import Place
from perfsuite.git.history import History
from perfsuite.git.mirror import Mirror
from perfsuite.git.repository import UNVERSIONED, NotARepository, Repository
from perfsuite.git.running import GitError

__all__ = [
    "UNVERSIONED",
    "GitError",
    "History",
    "Mirror",
    "NotARepository",
    "Place",
    "Repository",
    "remote_name",
]
