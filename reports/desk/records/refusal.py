"""What the desk answers where something cannot be done: a phrase, in the reader's language."""

from features.errors import ConfigError
from reports.translation import translation


class Refused(ConfigError):  # noqa: N818  (an answer, not a fault)
    """The request is answered with a page that says why it cannot be done.

    Parameters
    ----------
    key
        The phrase that says what, which, and the cure; its English is the exception's message.
    status
        Of the HTTP answer.
    values
        What is filled into the phrase.

    Examples
    --------
    >>> str(Refused("refused.password", n=12))
    'A password has at least 12 characters.'
    """

    def __init__(self, key: str, status: int = 400, **values: object) -> None:
        super().__init__(translation("en")(key, **values), reason=key.rpartition(".")[2])
        self.key, self.status, self.values = key, status, values
