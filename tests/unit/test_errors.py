"""How errors speak."""

from moodline.errors import FieldViolation, InvalidRequestError


def test_a_violation_of_the_whole_names_no_field() -> None:
    error = InvalidRequestError(
        [
            FieldViolation("", "is not JSON"),
            FieldViolation("turns[1].role", "is none of agent, bot"),
        ]
    )
    assert str(error) == "is not JSON; turns[1].role: is none of agent, bot"
