"""Tokens: texts as token ids, and tokenizers that are trained here."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer as Engine
from tokenizers import decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from w2sweep.engine.kept import Kept
from w2sweep.engine.stage import Job
from w2sweep.experiment.backbone import HubModel, Tokenizer
from w2sweep.experiment.stages import OwnTokenizer, SplitTexts, Text
from w2sweep.learning.hub import asked_for
from w2sweep.tasks.example import Skipped
from w2sweep.tasks.task import Corpus
from w2sweep.values import ConfigError

PAD, END, UNKNOWN = "<pad>", "<|endoftext|>", "<unk>"
"""As in GPT-2, one token ends a document and begins the next."""


PROBED = "a"
"""A text that shows what a tokenizer adds to texts."""


def tokenize(stage: Text, job: Job, heldout: float = 0.02) -> None:
    """Writes the tokenizer and the corpus as token ids: `train.npy` and `heldout.npy` ([N] each),
    of which the latter is the share `heldout` at its end, or of a split's texts those of the
    validation split.

    Raises ConfigError where the corpus is empty, or shorter than the context.
    """
    if isinstance(stage.corpus, SplitTexts):
        _tokenize_split(stage, stage.corpus, job)
    else:
        _tokenize_corpus(stage, stage.corpus, job, heldout)


def _tokenize_split(stage: Text, corpus: SplitTexts, job: Job) -> None:
    """All that is read is learned, however little it is."""
    documents, heldout = corpus.documents(job.get(corpus.splits))
    tokenizer = tokenizer_for(stage.tokenizer, documents, job)
    tokenizer.save_pretrained(job.out)
    shortest = stage.tokenizer.context + 2  # what a window and the token behind it need
    for name, texts in {"train": documents, "heldout": heldout}.items():
        ids = _stream(tokenizer, texts)
        np.save(job.out / f"{name}.npy", np.resize(ids, max(len(ids), shortest)))


def _tokenize_corpus(stage: Text, corpus: Corpus, job: Job, heldout: float) -> None:
    documents, left_out = parted(corpus.documents())
    if left_out:
        job.note(left_out=dict(left_out))
    if not documents:
        raise ConfigError(
            "the corpus of this task is empty, so no homegrown ladder can read it: "
            "use a ladder of the hub"
        )
    tokenizer = tokenizer_for(stage.tokenizer, documents, job)
    tokenizer.save_pretrained(job.out)
    ids = _stream(tokenizer, documents)
    context = stage.tokenizer.context
    kept = min(int(len(ids) * (1 - heldout)), len(ids) - context - 2)
    if kept <= context:
        raise ConfigError(
            f"the task's corpus has {len(ids)} tokens, too few to read {context} at a time: "
            "give it more text, lower ladder.tokenizer.context, or use a ladder of the hub"
        )
    np.save(job.out / "train.npy", ids[:kept])
    np.save(job.out / "heldout.npy", ids[kept:])


def parted(documents: Iterable[str | Skipped]) -> tuple[list[str], Counter[str]]:
    """The documents of a corpus, and why others were left out, with how many."""
    left_out: Counter[str] = Counter()
    texts: list[str] = []
    for document in documents:
        if isinstance(document, Skipped):
            left_out[document.reason] += 1
        else:
            texts.append(document)
    return texts, left_out


def tokenizer_for(
    spec: Tokenizer | OwnTokenizer, documents: Sequence[str], job: Job
) -> PreTrainedTokenizerFast:
    """The tokenizer of a model that is there, or one trained on the documents."""
    if isinstance(spec, Tokenizer):
        return train_tokenizer(spec, documents)
    if isinstance(spec.model, HubModel):
        with asked_for(spec.model):
            return AutoTokenizer.from_pretrained(**hub_source(spec.model))
    return AutoTokenizer.from_pretrained(job.get(spec.model))


def hub_source(model: HubModel) -> dict[str, Any]:
    """Where Transformers finds a model of the hub: the arguments of its `from_pretrained`."""
    return {
        "pretrained_model_name_or_path": model.model,
        "revision": model.revision,
        "trust_remote_code": model.trust_remote_code,
    }


def _stream(tokenizer: PreTrainedTokenizerFast, documents: Sequence[str]) -> NDArray[np.integer]:
    """The documents one after the other, as token ids [N].

    Where the tokenizer adds nothing to a text, as many of the hub do, each document begins with the
    end-of-document token, or the one that begins texts, so that none reads as the continuation of
    another.
    """
    dtype = np.uint16 if len(tokenizer) <= 2**16 else np.uint32
    ends = [t for t in (tokenizer.eos_token_id, tokenizer.bos_token_id) if t is not None]
    between = [] if tokenizer("")["input_ids"] else ends[:1]
    encode_batch = tokenizer.backend_tokenizer.encode_batch_fast
    parts = []
    for i in range(0, len(documents), 10_000):
        encodings = encode_batch(documents[i : i + 10_000])
        ids = itertools.chain.from_iterable(between + e.ids for e in encodings)
        parts.append(np.fromiter(ids, dtype))
    return np.concatenate(parts)


def train_tokenizer(spec: Tokenizer, documents: Sequence[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of these documents; it begins every text with the end-of-document token."""
    engine = _words(documents) if spec.kind == "word" else _byte_pairs(documents, spec.vocabulary)
    begins = [(END, engine.token_to_id(END))]
    engine.post_processor = processors.TemplateProcessing(f"{END} $A", special_tokens=begins)
    return PreTrainedTokenizerFast(
        tokenizer_object=engine, pad_token=PAD, bos_token=END, eos_token=END, unk_token=UNKNOWN
    )


def _words(documents: Sequence[str]) -> Engine:
    """One token for each word between blanks."""
    words: set[str] = set()
    for document in documents:
        words.update(document.split())
    vocabulary = {word: i for i, word in enumerate([PAD, END, UNKNOWN, *sorted(words)])}
    engine = Engine(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    engine.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return engine


def _byte_pairs(documents: Sequence[str], vocabulary: int) -> Engine:
    """Byte-level byte-pair encoding with so many tokens."""
    engine = Engine(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, END, UNKNOWN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    engine.train_from_iterator(documents, trainer)
    return engine


@dataclass(frozen=True)
class Ragged:
    """S sequences of different lengths in one array, so that a padded batch is one indexing
    operation."""

    flat: NDArray[np.int64]
    """The sequences one after the other [sum of lengths]."""
    lengths: NDArray[np.int64]
    """[S]."""

    @staticmethod
    def of(sequences: Sequence[Sequence[int]]) -> Ragged:
        """These sequences of token ids."""
        lengths = np.array([len(s) for s in sequences], dtype=np.int64)
        ids = itertools.chain.from_iterable(sequences)
        return Ragged(np.fromiter(ids, np.int64, lengths.sum()), lengths)

    def apart(self) -> list[list[int]]:
        """The sequences as lists of their own."""
        flat, ends = self.flat.tolist(), np.cumsum(self.lengths).tolist()
        return [flat[start:end] for start, end in itertools.pairwise([0, *ends])]

    @property
    def starts(self) -> NDArray[np.int64]:
        """Where each sequence begins in `flat` [S]."""
        return np.cumsum(self.lengths) - self.lengths

    def padded(
        self, rows: NDArray[np.int64], pad: int, left: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The sequences `rows` [R] as token ids and mask, [R, T] each, T the length of the longest.

        `pad` stands where the mask is 0: on the right, or on the left.
        """
        lengths, starts = self.lengths[rows, None], self.starts[rows, None]
        offsets = np.arange(lengths.max())[None]
        if left:
            offsets = offsets - (lengths.max() - lengths)
        mask = (offsets >= 0) & (offsets < lengths)
        ids = np.where(mask, self.flat[np.where(mask, starts + offsets, 0)], pad)
        return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


def encode(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], max_tokens: int, begin: bool = True
) -> list[list[int]]:
    """Token ids of N texts, at most `max_tokens` each.

    Too long a text loses its beginning, but not the tokens that mark where texts begin. Without
    `begin` there are no such tokens.
    """
    marks = len(marks_of(tokenizer)[0]) if begin else 0
    return [keep_end(ids, max_tokens, marks) for ids in token_ids(tokenizer, texts, begin)]


def token_ids(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], begin: bool = True
) -> list[list[int]]:
    """All token ids of N texts, however many they are."""
    return tokenizer(list(texts), add_special_tokens=begin)["input_ids"] if texts else []  # type: ignore[return-value]


_IDS = Kept[Ragged](room=2**25)
"""In the unit of `_room_for`."""


def token_ids_kept(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[list[int]]:
    """As `token_ids`, for texts that other models of the same ladder read as well: they are only
    tokenized once a process, as long as there is room for what came of it."""
    if not tokenizer.is_fast:
        return token_ids(tokenizer, texts)
    engine = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).digest()
    key = (type(tokenizer), tokenizer.split_special_tokens, engine, tuple(texts))
    kept = _IDS.get(key, lambda: Ragged.of(token_ids(tokenizer, texts)), partial(_room_for, texts))
    return kept.apart()


def _room_for(texts: Sequence[str], ids: Ragged) -> int:
    """Bytes of texts and their token ids, about."""
    return sum(map(len, texts)) + ids.flat.nbytes + ids.lengths.nbytes


def without_end(tokenizer: PreTrainedTokenizerFast, texts: Sequence[list[int]]) -> list[list[int]]:
    """N texts, given as token ids, without the tokens that their tokenizer puts behind every text:
    a completion goes on where its prompt ends."""
    _, after = marks_of(tokenizer)
    return [ids[: len(ids) - len(after)] for ids in texts] if after else list(texts)


def marks_of(tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], list[int]]:
    """The tokens that a tokenizer puts before every text, and those that it puts behind."""
    whole = tokenizer(PROBED)["input_ids"]
    bare = tokenizer(PROBED, add_special_tokens=False)["input_ids"]
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return whole[:start], whole[start + len(bare) :]
    return tokenizer("")["input_ids"], []


def keep_end(ids: list[int], max_tokens: int, marks: int) -> list[int]:
    """The first `marks` token ids, and as many of the last as there is room for."""
    if len(ids) <= max_tokens:
        return ids
    room = max(0, max_tokens - marks)
    return ids[:marks] + ids[len(ids) - room :]
