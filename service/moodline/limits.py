"""The limits of what one request may carry, in one place.

`GetCapabilities` states them and the converters enforce them. Whatever exceeds one is refused
with a field violation that names the limit, the value and the remedy; nothing is ever cut.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Largest accepted values; each bound is inclusive.

    Attributes:
        max_turn_chars: Code points in the text of one turn. A spoken or typed turn has some
            hundreds; this admits a long e-mail with the thread it quotes.
        max_conversation_turns: Turns of one conversation in a unary call or a batch item; a longer
            one is for `StreamConversation`.
        max_conversation_chars: Code points in all turns of one conversation together, in a unary
            call or a batch item.
        max_batch_conversations: Conversations in one `BatchAnalyzeConversations` call.
        max_stream_turns: Final turns of one stream; hours of talk, and a bound on the turn ids
            that a stream remembers.
        max_id_chars: Code points in a conversation, turn or participant id.
        max_message_bytes: Serialized size of one gRPC message, in either direction.
        max_partial_turns_open: Turns of one stream that are still partial at the same time.
        max_attributes: Entries of `Conversation.attributes`.
        max_turns_awaiting_store: Final turns of one stream whose signals wait for a store that does
            not answer: an hour of talk, in some megabytes.
        max_page_size: Signals on one page of `ListSignals`.
    """

    max_turn_chars: int = 20_000
    max_conversation_turns: int = 2_000
    max_conversation_chars: int = 1_000_000
    max_batch_conversations: int = 100
    max_stream_turns: int = 100_000
    max_id_chars: int = 128
    max_message_bytes: int = 16 * 1024 * 1024
    max_partial_turns_open: int = 64
    max_attributes: int = 32
    max_turns_awaiting_store: int = 1_000
    max_page_size: int = 200
