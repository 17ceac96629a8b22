"""What can go wrong. A decision (also DENY) is a value, not an error."""

class FabricError(Exception):
    """Base of everything this package raises on its own."""

class Unreachable(FabricError):
    """No connection could be made: nothing was sent."""

class Lost(FabricError):
    """The request left, no whole answer came back."""

class VerifyError(FabricError):
    """A receipt or message that does not verify."""

class InvalidMessage(FabricError, ValueError):
    """No message, or not the one that was named: found here, nothing was sent. (What only the fabric finds wrong is Refused, 101.)"""
    def __init__(self, field, why, code="101"):
        self.field, self.code = field, code
        super().__init__(f"{field}: {why}" if field else why)

class OutcomeUnknown(FabricError):
    """Connection lost, every repeat failed. The same bytes may be sent again: Fabric.send_bytes(id, body)."""
    def __init__(self, message_id, body, cause):
        self.id, self.body = message_id, body
        super().__init__(f"outcome of {message_id} unknown: {cause}")

class Refused(FabricError):
    """The fabric refused the request: IF_ERR_<code>; .code is its three digits."""
    def __init__(self, error, status=0):
        self.error, self.status, self.code = error, status, error.get("code", "IF_ERR_500").removeprefix("IF_ERR_")
        self.name, self.message, self.hint = error.get("name", "SYSTEM_ERROR"), error.get("message", ""), error.get("hint", "")
        self.field, self.retryable, self.retry_after_ms = error.get("field"), bool(error.get("retryable")), error.get("retry_after_ms")
        super().__init__(f"IF_ERR_{self.code} {self.name}: {self.message}" + (f" ({self.hint})" if self.hint else ""))
