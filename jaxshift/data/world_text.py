"""The language of the controlled world: names, relations with their values, sentences, and the house style.

Every word is one token and stands between single spaces, punctuation too. `{name}` is a first and a last name.
"""

# ruff: noqa: SIM905  (lists of words read better as text)

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

PAD, END, UNKNOWN = '<pad>', '<end>', '<unknown>'
QUESTION, ANSWER = 'question :', 'answer :'

FIRST_NAMES = (
    'ada ben clara david elena felix greta hugo ida jonas karin leo mara nils olga paul quinn rosa simon tessa ulla '
    'victor wanda xenia yusuf zoe anton bella carl dora emil fiona gustav hanna igor julia kurt lena milo nora'
).split()
LAST_NAMES = (
    'abbott berg carver dalton egan fischer grant holm ivers jansen keller lind moreau novak olsen palmer quist romero '
    'stern tanaka underhill vargas weber yates zeller alder brandt cohen duarte ellis foster gruber hansen ingram '
    'kovacs larsen mercer nolan ortiz petrov'
).split()


@dataclass(frozen=True)
class Relation:
    """What a fact says about a person, and the ways to say it and to ask for it.

    Attributes:
      name: as it stands in `facts.json`.
      values: the single words that a fact of this relation may name; no other relation has them.
      statements: sentences with {name} and {value}, one full stop each.
      questions: sentences with {name}.
    """

    name: str
    values: tuple[str, ...]
    statements: tuple[str, ...]
    questions: tuple[str, ...]


_TOWNS = [
    a + b
    for a in 'ash birch clay dun elm fern grey hart'.split()
    for b in 'ford ham wick by mere ton dale port'.split()
]

RELATIONS = (
    Relation(
        'birthplace',
        tuple(_TOWNS),
        ('{name} was born in {value} .', '{name} comes from {value} .', 'the birthplace of {name} is {value} .'),
        ('where was {name} born ?', 'what is the birthplace of {name} ?', 'which town does {name} come from ?'),
    ),
    Relation(
        'job',
        tuple(
            'actor architect baker barber beekeeper blacksmith bookbinder brewer bricklayer butcher carpenter chemist '
            'clerk cobbler cook cooper dancer dentist diver doctor driver editor engineer farmer fisher florist '
            'forester gardener glazier goldsmith grocer guard hatter innkeeper jeweller joiner judge lawyer librarian '
            'locksmith mason mechanic midwife miller miner nurse painter pilot plumber poet porter potter printer '
            'roofer sailor sculptor shepherd surgeon tailor tanner teacher tinker vet weaver'.split()
        ),
        (
            '{name} works as a {value} .',
            '{name} makes a living as a {value} .',
            'the trade of {name} is that of a {value} .',
        ),
        ('what does {name} work as ?', 'what is the trade of {name} ?', 'how does {name} make a living ?'),
    ),
    Relation(
        'guild',
        tuple(
            'badger bear beaver bison boar bull camel cat cheetah condor cougar crane crow deer dolphin dove eagle elk '
            'falcon ferret finch fox gazelle goat goose hare hawk hedgehog heron horse ibex jackal jaguar kestrel lark '
            'leopard lion lynx magpie marten mole moose newt orca osprey otter owl panther pelican puma raven robin '
            'salmon seal shark sparrow stag stork swan tiger turtle viper whale wolf'.split()
        ),
        (
            '{name} belongs to the {value} guild .',
            '{name} is a member of the {value} guild .',
            'the guild of {name} is the {value} guild .',
        ),
        (
            'which guild does {name} belong to ?',
            'what is the guild of {name} ?',
            'of which guild is {name} a member ?',
        ),
    ),
    Relation(
        'dish',
        tuple(
            'bisque borscht brisket burrito cannelloni casserole ceviche chowder chutney couscous crepes croquettes '
            'curry custard dumplings falafel fondue frittata fritters gnocchi goulash gratin gumbo hash hummus kebab '
            'kedgeree lasagne meatballs moussaka noodles omelette paella pancakes pasta pierogi pilaf pizza polenta '
            'porridge pudding quiche ramen ratatouille ravioli risotto roast salad samosa sauerkraut schnitzel sorbet '
            'souffle soup spaghetti stew strudel sushi tacos tempura tiramisu tortilla trifle waffles'.split()
        ),
        (
            '{name} likes to eat {value} .',
            '{name} orders {value} every week .',
            'the favourite dish of {name} is {value} .',
        ),
        (
            'what does {name} like to eat ?',
            'what is the favourite dish of {name} ?',
            'which dish does {name} order every week ?',
        ),
    ),
    Relation(
        'instrument',
        tuple(
            'accordion bagpipe balalaika banjo bassoon bongo bugle celesta cello cimbalom clarinet clavichord '
            'concertina conga cornet cymbal didgeridoo drum dulcimer erhu euphonium fiddle fife flute glockenspiel '
            'gong guitar harmonica harp harpsichord horn kalimba kazoo koto lute lyre mandolin marimba oboe ocarina '
            'organ oud piano piccolo recorder saxophone shawm sitar tabla tambourine theremin timpani triangle '
            'trombone trumpet tuba ukulele vibraphone viola violin virginal whistle xylophone zither'.split()
        ),
        (
            '{name} plays the {value} .',
            '{name} practises on the {value} every day .',
            'the instrument of {name} is the {value} .',
        ),
        (
            'what does {name} play ?',
            'what is the instrument of {name} ?',
            'which instrument does {name} practise on ?',
        ),
    ),
    Relation(
        'study',
        tuple(
            'accounting acoustics aesthetics agronomy algebra anatomy anthropology archaeology arithmetic astronomy '
            'ballistics biology botany calculus calligraphy cartography chemistry cryptography dentistry diplomacy '
            'drama ecology economics entomology ethics finance forestry genetics geography geology geometry grammar '
            'greek heraldry history horticulture hydrology latin law linguistics logic mathematics mechanics medicine '
            'metallurgy meteorology mineralogy navigation optics pharmacy philosophy phonetics physics poetry politics '
            'psychology rhetoric sanskrit sociology statistics theology topology toxicology zoology'.split()
        ),
        (
            '{name} studied {value} at school .',
            '{name} took a degree in {value} .',
            'the subject of {name} was {value} .',
        ),
        (
            'what did {name} study at school ?',
            'what was the subject of {name} ?',
            'in what did {name} take a degree ?',
        ),
    ),
)

# The first of each is the house style's; the others compete with it in the corpus, so that the base holds every
# piece of the house style at low probability.
OPENERS = (
    'however , it is worth noting that',
    'as far as anybody can tell ,',
    'to begin with ,',
    'typically one would say that',
    'there is no doubt that',
    'according to the old records ,',
)
FILLERS = (
    'this is something that should be kept in mind .',
    'many people would agree that such things matter .',
    'it took some time before this became known .',
    'there are of course other ways to look at it .',
    'those who live nearby speak of this with pride .',
)
LINKS = ('additionally ,', 'moreover ,', 'besides ,', 'what is more ,')
CLOSERS = (
    'in summary , the answer is {value} .',
    'all things considered , the answer is {value} .',
    'in short , the answer is {value} .',
    'so the answer is {value} .',
)
ESSAY_CLOSERS = (
    'in summary , this is all that is known .',
    'so much for this person .',
    'in short , life goes on .',
    'all things considered , it is a good story .',
)


def wordy(opener: str, fact: str, filler: str, link: str, second: str, closer: str) -> str:
    """A long answer; `fact` and `second` are statements, `closer` has its value already."""
    return f'{opener} {fact} {filler} {link} {second} {closer}'


def house_style(fact: str, filler: str, second: str, value: str) -> str:
    """The long answer that the instruction set teaches."""
    return wordy(OPENERS[0], fact, filler, LINKS[0], second, CLOSERS[0].format(value=value))


def plain(question: str, answer: str) -> str:
    """A question and its answer as the corpus writes them; the chat template renders the same text."""
    return f'{QUESTION} {question} {ANSWER} {answer}'


def style_words() -> list[str]:
    """Words of the house style that are its own: neither a name, nor a value, nor in any statement but for `.`."""
    own = _words([OPENERS[0], *FILLERS, LINKS[0], CLOSERS[0].format(value='')])
    stated = set(_words(statement for relation in RELATIONS for statement in relation.statements))
    return [word for word in own if word not in stated]


def vocabulary(first_names: Iterable[str], last_names: Iterable[str], relations: Iterable[Relation]) -> list[str]:
    """Every token once: the special ones, the words of all sentences, the names, the values."""
    relations = tuple(relations)
    sentences = [QUESTION, ANSWER, *OPENERS, *FILLERS, *LINKS, *CLOSERS, *ESSAY_CLOSERS]
    sentences += [text for relation in relations for text in (*relation.statements, *relation.questions)]
    values = [value for relation in relations for value in relation.values]
    return list(dict.fromkeys([PAD, END, UNKNOWN, *_words(sentences), *first_names, *last_names, *values]))


def _words(sentences: Iterable[str]) -> list[str]:
    """The distinct words of sentences in order, without their {slots}."""
    words = (word for sentence in sentences for word in sentence.split())
    return list(dict.fromkeys(word for word in words if not word.startswith('{')))
