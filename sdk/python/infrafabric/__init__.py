"""Client of an InfraFabric daemon: send, receive, verify. See README.md beside this package."""
from .errors import FabricError, OutcomeUnknown, Refused, Unreachable, VerifyError
from .fabric import Fabric, Message, Receipt
from .verify import verify

__all__ = ["Fabric", "FabricError", "Message", "OutcomeUnknown", "Receipt", "Refused", "Unreachable", "VerifyError", "verify"]
