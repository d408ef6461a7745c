"""What can go wrong for a user: each message says what, which, and the cure."""


class CropcheckError(Exception):
    """Base of every error a user can mend; the command line prints it without a traceback."""


class ConfigError(CropcheckError):
    """A config file, key or value that cannot be used."""


class DeclarationError(CropcheckError):
    """A parcel file that cannot be used."""


class CatalogError(CropcheckError):
    """A catalog or its items that cannot be used."""


class ImageryError(CropcheckError):
    """A raster that cannot be read or does not fit; one acquisition is set aside, the run goes on."""


class ModelError(CropcheckError):
    """A model that cannot be fitted, loaded or applied."""


class StageError(CropcheckError):
    """A stage asked to run before what it needs has been written."""
