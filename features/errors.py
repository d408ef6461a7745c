"""What can go wrong for a user: each message says what, which, and the cure."""


class CropcheckError(Exception):
    """Base of every error a user can mend; the command line prints it without a traceback.

    Attributes
    ----------
    reason
        A code of what happened, for tallies and tables: code compares it, never the sentence.

    Examples
    --------
    >>> ImageryError("b04.tif does not exist; download it again.", reason="missing_file").reason
    'missing_file'
    """

    reason = "error"

    def __init__(self, message: str = "", *, reason: str | None = None) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason


class ConfigError(CropcheckError):
    """A config file, key or value that cannot be used."""


class DeclarationError(CropcheckError):
    """A parcel file that cannot be used."""


class CatalogError(CropcheckError):
    """A catalog or its items that cannot be used."""


class ImageryError(CropcheckError):
    """A raster that cannot be read or does not fit; one acquisition is set aside, the run goes on."""

    reason = "unreadable"


class ModelError(CropcheckError):
    """A model that cannot be fitted, loaded or applied."""


class StageError(CropcheckError):
    """A stage asked to run before what it needs has been written."""
