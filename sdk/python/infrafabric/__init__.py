"""Client of an InfraFabric daemon: send, receive, verify. See README.md beside this package."""
from .capability import Capability, Fabric, Outcome
from .envelope import check
from .errors import FabricError, InvalidMessage, Lost, OutcomeUnknown, Refused, Unreachable, VerifyError
from .fabric import Message, Receipt
from .tasks import Task, TaskLost
from .verify import verify

__all__ = ["Capability", "Fabric", "FabricError", "InvalidMessage", "Lost", "Message", "Outcome", "OutcomeUnknown", "Receipt", "Refused", "Task", "TaskLost",
           "Unreachable", "VerifyError", "check", "verify"]
