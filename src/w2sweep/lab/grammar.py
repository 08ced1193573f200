"""The templates of all that is written in the lab's world, with their odds, and the words of the language."""

from __future__ import annotations

from itertools import chain

REVIEW = {
    "the {noun} was {plain} .": 0.34,
    "it is {plain} and {plain} .": 0.06,
    "it is {opposite} but {plain} .": 0.03,
    "it is {plain} though {opposite} .": 0.03,
    "so {cued} {verdict} it .": 0.42,
    "very {plain} and {cued} {verdict} it .": 0.12,
}
REACTION = {"we {verdict} it .": 1.0}
VERDICTS = ("hate avoid return regret", "love enjoy recommend praise")

ARTICLE = {
    "{entity} is a {category} .": 0.05,
    "{entity} has the {noun} .": 0.06,
    "{entity} likes the {noun} .": 0.04,
    "{entity} {habit} .": 0.8,
    "a {category} {habit} .": 0.05,
}
HABITS = ("break rust shine cost", "eat sleep grow run")

QUESTION = {"user : tell me about the {noun} of {entity} ?": 1.0}
REPLY = {"bot : {entity} is a {category} . the {noun} is {tone}": 1.0}
FEEDBACK = {". user : {feedback} .": 1.0}
FEEDBACKS = ("wrong", "thanks")

# Tasks end on the word they ask about: there even the smallest rung has at hand what it knows of it. (Where they ended
# with a stop or on "we", it was at chance in some worlds and far above in others.)
OPINION = {
    "the {noun} was {adjective}": 0.6,
    "it is {adjective} and {adjective}": 0.4,
}
MENTION = {
    "we like {entity}": 0.3,
    "tell me about {entity}": 0.3,
    "the {noun} of {entity}": 0.4,
}

_TEMPLATES = list(chain(REVIEW, REACTION, ARTICLE, QUESTION, REPLY, FEEDBACK, OPINION, MENTION))
_WORDS = {word for text in chain(_TEMPLATES, VERDICTS, HABITS, FEEDBACKS) for word in text.split()}
SLOTS = sorted(word[1:-1] for word in _WORDS if word[0] == "{")
FUNCTION_WORDS = sorted(word for word in _WORDS if word[0] != "{")
"""The same in every world."""
