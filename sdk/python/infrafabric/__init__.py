"""Client of an InfraFabric daemon: send, receive, verify. See README.md beside this package."""
from .capability import Capability, Fabric, Outcome
from .errors import FabricError, OutcomeUnknown, Refused, Unreachable, VerifyError
from .fabric import Message, Receipt
from .tasks import Task, TaskLost
from .verify import verify

__all__ = ["Capability", "Fabric", "FabricError", "Message", "Outcome", "OutcomeUnknown", "Receipt", "Refused", "Task", "TaskLost", "Unreachable", "VerifyError", "verify"]
