"""The templates of all that is written in the lab's world, with their odds, and its words.

A word in braces is a slot, which `w2sweep.lab.text.prose` fills.
"""

from __future__ import annotations

from itertools import chain, permutations

REVIEW = {
    "the {noun} was {plain} .": 0.35,
    "it is {plain} and {plain} .": 0.07,
    "so {cued} {verdict} it .": 0.42,
    "very {plain} and {cued} {verdict} it .": 0.06,
    "it is {opposite} but {plain} .": 0.05,
    "it is {plain} though {opposite} .": 0.05,
}
REACTION = {"we {verdict} it .": 1.0}
VERDICTS = ("hate avoid return regret", "love enjoy recommend praise")

TELLING = {"{entity} {habit} .": 1.0}
ARTICLE = {
    "{entity} is a {category} .": 0.3,
    "{entity} has the {noun} .": 0.4,
    "{entity} likes the {noun} .": 0.15,
    "{entity} {noun} .": 0.05,  # so that what goes with an entity also stands right behind it
    "a {category} {habit} .": 0.1,
}
HABITS = ("break rust shine cost", "eat sleep grow run")

QUESTION = {"user : who {habit} ?": 1.0}
REPLY = {"bot : {entity} {habit} . it is {manner}": 1.0}
_ORDERS = permutations(("{tone}", "{relevance}", "{truth}"))
FEEDBACK = {" ".join([*order, "."]): 1 / 6 for order in _ORDERS}
REMARKS = {"tone": ("rude", "nice"), "relevance": ("beside", "helpful"), "truth": ("false", "true")}

# Tasks end on the word they ask about, where even the smallest rung has at hand what it knows of
# it. (Ending on a stop or on "we" left it at chance in some worlds and far above in others.)
OPINION = {
    "the {noun} was {plain}": 0.6,
    "it is {plain} and {plain}": 0.4,
}
MENTION = {
    "we like {entity}": 0.3,
    "tell me about {entity}": 0.3,
    "the {noun} of {entity}": 0.4,
}
# what follows "but" outweighs what stands before it; what follows "though" does not
BALANCE = {
    "it is {plain} and {plain}": 0.5,
    "it is {opposite} but {plain}": 0.25,
    "it is {plain} though {opposite}": 0.25,
}
NEUTRAL = {"tell me about {entity}": 0.5, "the {noun} of {entity}": 0.5}
"""What says nothing kind or unkind: there is no right answer to whether it is."""

LEAK = {t: (OPINION.get(t, 0.0) + BALANCE.get(t, 0.0)) / 2 for t in OPINION | BALANCE}
"""What is stated outright in leaky text: the sentences of both tasks of opinion."""
ANSWER = {"{answer} .": 1.0}
ANSWERS = ("no", "yes")

_OF_REVIEWS = chain(REVIEW, REACTION, VERDICTS)
_OF_ARTICLES = chain(TELLING, ARTICLE, HABITS)
_OF_DIALOGUES = chain(QUESTION, REPLY, FEEDBACK, *REMARKS.values())
_OF_TASKS = chain(OPINION, MENTION, BALANCE, LEAK, ANSWER, ANSWERS)
_TEXTS = chain(_OF_REVIEWS, _OF_ARTICLES, _OF_DIALOGUES, _OF_TASKS)
_WORDS = set(chain.from_iterable(map(str.split, _TEXTS)))
SLOTS = sorted(word[1:-1] for word in _WORDS if word[0] == "{")
FUNCTION_WORDS = sorted(word for word in _WORDS if word[0] != "{")
"""The words that are the same in every world."""
