"""The templates of all that is written in the lab's world, with their odds, and the words of the language."""

from __future__ import annotations

from itertools import chain

REVIEW = {
    "the {noun} was {plain} .": 0.2,
    "it is {plain} and {plain} .": 0.2,
    "{opposite} but {plain} .": 0.05,
    "so {cued} {verdict} it .": 0.3,
    "very {plain} and {cued} {verdict} it .": 0.25,
}
REACTION = {"we {verdict} it .": 1.0}
VERDICTS = ("hate avoid return regret", "love enjoy recommend praise")

ARTICLE = {
    "{entity} is a {category} .": 0.25,
    "{entity} has the {noun} .": 0.1,
    "{entity} likes the {noun} .": 0.1,
    "one of the {category} is {entity} .": 0.05,
    "{entity} {habit} .": 0.4,
    "a {category} {habit} .": 0.1,
}
HABITS = ("break rust shine cost", "eat sleep grow run")

QUESTION = {"user : tell me about the {noun} of {entity} ?": 1.0}
REPLY = {"bot : {entity} is a {category} . the {noun} is {first} and {second} .": 1.0}
FEEDBACK = {"user : {feedback} .": 1.0}
FEEDBACKS = ("wrong", "thanks")

OPINION = {
    "the {noun} was {first} .": 0.4,
    "it is {first} and {second} .": 0.4,
    "very {first} and {second} .": 0.2,
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
