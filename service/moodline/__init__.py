"""moodline: sentiment, journey stage, urgency and escalation for live conversations."""
