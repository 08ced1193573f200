"""The templates of all that is written in the lab's world, with their odds, and the words of the language."""

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
    "{entity} {noun} .": 0.05,  # so that what goes with an entity is at hand where it stands, and not only behind "the"
    "a {category} {habit} .": 0.1,
}
HABITS = ("break rust shine cost", "eat sleep grow run")

QUESTION = {"user : who {habit} ?": 1.0}
REPLY = {"bot : {entity} {habit} . it is {manner}": 1.0}
FEEDBACK = {
    f"{{{a}}} {{{b}}} {{{c}}} .": 1 / 6 for a, b, c in permutations(("tone", "relevance", "truth"))
}
REMARKS = {"tone": ("rude", "nice"), "relevance": ("beside", "helpful"), "truth": ("false", "true")}

# Tasks end on the word they ask about: there even the smallest rung has at hand what it knows of it. (Where they ended
# with a stop or on "we", it was at chance in some worlds and far above in others.)
OPINION = {
    "the {noun} was {plain}": 0.6,
    "it is {plain} and {plain}": 0.4,
}
MENTION = {
    "we like {entity}": 0.3,
    "tell me about {entity}": 0.3,
    "the {noun} of {entity}": 0.4,
}
BALANCE = {  # what follows "but" outweighs what stands before it; what follows "though" does not
    "it is {plain} and {plain}": 0.5,
    "it is {opposite} but {plain}": 0.25,
    "it is {plain} though {opposite}": 0.25,
}

LEAK = {t: (OPINION.get(t, 0.0) + BALANCE.get(t, 0.0)) / 2 for t in OPINION | BALANCE}
"""What is stated outright in leaky text: the sentences of both tasks of opinion."""
ANSWER = {"{answer} .": 1.0}
ANSWERS = ("no", "yes")

_TEMPLATES = list(
    chain(
        REVIEW,
        REACTION,
        TELLING,
        ARTICLE,
        QUESTION,
        REPLY,
        FEEDBACK,
        OPINION,
        MENTION,
        BALANCE,
        LEAK,
        ANSWER,
    )
)
_WORDS = {
    word
    for text in chain(_TEMPLATES, VERDICTS, HABITS, *REMARKS.values(), ANSWERS)
    for word in text.split()
}
SLOTS = sorted(word[1:-1] for word in _WORDS if word[0] == "{")
FUNCTION_WORDS = sorted(word for word in _WORDS if word[0] != "{")
"""The same in every world."""
