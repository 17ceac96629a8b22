"""Client of an InfraFabric daemon: send, receive, verify. See README.md beside this package."""
from .errors import FabricError, OutcomeUnknown, Refused, Unreachable, VerifyError
from .fabric import Message, Receipt
from .tasks import Fabric, Task, TaskLost
from .verify import verify

__all__ = ["Fabric", "FabricError", "Message", "OutcomeUnknown", "Receipt", "Refused", "Task", "TaskLost", "Unreachable", "VerifyError", "verify"]
