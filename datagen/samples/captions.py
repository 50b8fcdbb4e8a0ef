"""Captions: a few plain sentences that are true of a scene, for aligning images with language.

A sentence is made from a claim (a count, the presence of an object, the relation of two objects, the outermost object). All words of the
domain's vocabularies in it come from the claim, so a caption can be checked without parsing its text.

Objects are named by the words of their choices: the one called ``shape`` is the noun, the others are adjectives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from datagen.domains.base import Domain
from datagen.geometry.camera import ground_directions
from datagen.scene import Camera, Object, Scene

Words = Mapping[str, str]
"""Words by argument. They describe every object that has these words."""

NOUN = "shape"
ADJECTIVES = ("size", "color", "material")  # in English order; a domain's other choices come before them
CLEAR = 0.2  # metres along a direction that a relation needs (the margin of CLEVR's generator)
MOST_SENTENCES = 4
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_RELATIONS = {"left": "to the left of", "right": "to the right of", "front": "in front of", "behind": "behind"}
_EXTREMES = {"left": "leftmost", "right": "rightmost", "front": "frontmost", "behind": "rearmost"}


@dataclass(frozen=True)
class Claim:
    """The content of a sentence.

    ``kind`` is *count* (exactly ``number`` objects have the words of ``subject``), *there* (at least one has them), *relation* (an object
    with the words of ``subject`` lies in ``direction`` of one with those of ``other``) or *extreme* (the object farthest in ``direction``
    has the words of ``subject``).
    """

    kind: str
    subject: Words
    number: int = 1
    direction: str = ""
    other: Words | None = None


@dataclass(frozen=True)
class Sentence:
    """A claim in words."""

    claim: Claim
    text: str


def caption(scene: Scene, domain: Domain, camera: Camera, rng: np.random.Generator) -> str:
    """Two to four true sentences on one line (one for an empty scene); equal streams give equal captions."""
    return " ".join(sentence.text for sentence in sentences(scene, domain, camera, rng))


def sentences(scene: Scene, domain: Domain, camera: Camera, rng: np.random.Generator) -> list[Sentence]:
    """The sentences of a caption: first the number of objects, then random other claims, none twice."""
    speaker = _Speaker(scene, domain, camera, rng)
    found = [speaker.total()]
    if not len(scene):
        return found
    wanted = int(rng.integers(2, MOST_SENTENCES, endpoint=True))
    for _ in range(4 * MOST_SENTENCES):
        if len(found) == wanted:
            break
        sentence = speaker.any()
        if sentence is not None and all(sentence.claim != other.claim for other in found):
            found.append(sentence)
    return found


class _Speaker:
    """Draws sentences about one scene."""

    def __init__(self, scene: Scene, domain: Domain, camera: Camera, rng: np.random.Generator) -> None:
        self._scene, self._domain, self._rng = scene, domain, rng
        self._directions = ground_directions(camera)

    def any(self) -> Sentence | None:
        """A sentence of a random kind; None if the scene does not support one of that kind."""
        kinds: tuple[Callable[[], Sentence | None], ...] = (self.count, self.there, self.relation, self.relation, self.extreme)
        return kinds[self._pick(len(kinds))]()

    def total(self) -> Sentence:
        number = len(self._scene)
        things = self._one_of(("object", "thing")) + ("" if number == 1 else "s")
        beginning = self._one_of(("There is", "The scene holds") if number == 1 else ("There are", "The scene holds", "The picture shows"))
        return Sentence(Claim("count", {}, number), f"{beginning} {_number(number)} {things}.")

    def count(self) -> Sentence:
        words = self._some_words(self._object(), self._pick(2) + 1)
        number = sum(_has(obj, words) for obj in self._scene)
        noun = _noun_phrase(words, number != 1)
        verb = "is" if number == 1 else "are"
        patterns = (f"There {verb} {{n}} {noun}.", f"{{N}} {noun} {'is' if number == 1 else 'are'} there.", f"One can count {{n}} {noun}.")
        text = self._one_of(patterns).format(n=_number(number), N=_number(number).capitalize())
        return Sentence(Claim("count", words, number), text)

    def there(self) -> Sentence:
        words = self._some_words(self._object(), 4)
        phrase = _with_article(_noun_phrase(words))
        patterns = ("There is {}.", "{} can be seen.", "One of the things is {}.")
        return Sentence(Claim("there", words), _sentence(self._one_of(patterns), phrase))

    def relation(self) -> Sentence | None:
        if len(self._scene) < 2:
            return None
        first, second = (self._scene.objects[int(i)] for i in self._rng.choice(len(self._scene), 2, replace=False))
        directions = [name for name in _RELATIONS if self._beyond(name, first, second)]
        if not directions:
            return None
        direction = self._one_of(directions)
        one, other = self._name(first), self._name(second)
        text = _sentence(f"{{}} {self._one_of(('is', 'stands', 'lies'))} {_RELATIONS[direction]} {{}}.", one[1], other[1])
        return Sentence(Claim("relation", one[0], direction=direction, other=other[0]), text)

    def extreme(self) -> Sentence | None:
        direction = self._one_of(tuple(_EXTREMES))
        objects = self._scene.objects
        for i, obj in enumerate(objects):
            if len(objects) > 1 and all(self._beyond(direction, obj, other) for j, other in enumerate(objects) if j != i):
                words = self._some_words(obj, self._pick(3) + 2)
                patterns = (f"The {_EXTREMES[direction]} object is {{}}.", f"{{}} is the {_EXTREMES[direction]} of all.")
                text = _sentence(self._one_of(patterns), _with_article(_noun_phrase(words)))
                return Sentence(Claim("extreme", words, direction=direction), text)
        return None

    def _name(self, obj: Object) -> tuple[Words, str]:
        """Words of an object and their phrase: with *the* if no other object has these words, with *a* if another has all its words."""
        words: Words = {}  # all that an object of a statement without choices has
        for size in range(1, len(self._all_words(obj)) + 1):
            words = self._some_words(obj, size)
            if sum(_has(other, words) for other in self._scene) == 1:
                return words, f"the {_noun_phrase(words)}"
        return words, _with_article(_noun_phrase(words))

    def _beyond(self, direction: str, obj: Object, other: Object) -> bool:
        """Whether `obj` lies more than `CLEAR` in that direction from `other`, as the camera sees it."""
        step = np.subtract(self._domain.location(obj), self._domain.location(other))
        return float(step @ self._directions[direction]) > CLEAR

    def _all_words(self, obj: Object) -> dict[str, str]:
        return {choice.name: obj[choice.name] for choice in self._domain.statement(obj.statement).choices}

    def _some_words(self, obj: Object, size: int) -> Words:
        """A random choice of at most `size` of an object's words."""
        words = self._all_words(obj)
        chosen = self._rng.choice(len(words), min(size, len(words)), replace=False)
        return {name: word for i, (name, word) in enumerate(words.items()) if i in chosen}

    def _object(self) -> Object:
        return self._scene.objects[self._pick(len(self._scene))]

    def _one_of(self, words: Sequence[str]) -> str:
        return words[self._pick(len(words))]

    def _pick(self, count: int) -> int:
        return int(self._rng.integers(count))


def _has(obj: Object, words: Words) -> bool:
    return all(obj.values.get(name) == word for name, word in words.items())


def _noun_phrase(words: Words, plural: bool = False) -> str:
    """``large red metal cube``; the noun is *object* if the words have no shape."""
    last = [name for name in ADJECTIVES if name in words]
    first = [name for name in words if name not in ADJECTIVES and name != NOUN]
    noun = words.get(NOUN, "object") + ("s" if plural else "")
    return " ".join([*(words[name] for name in first + last), noun])


def _with_article(phrase: str) -> str:
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def _sentence(pattern: str, *phrases: str) -> str:
    text = pattern.format(*phrases)
    return text[0].upper() + text[1:]


def _number(number: int) -> str:
    return _NUMBERS[number] if number < len(_NUMBERS) else str(number)
