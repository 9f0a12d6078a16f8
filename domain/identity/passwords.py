"""Which passwords are refused: short ones, and those that are tried first.

What is tried first is told by rule instead of by a long list: a word that everybody uses, or that
has to do with the person, however it is decorated (`P@ssw0rd!`, `dragon2026`), twice in a row, or a
walk over the keyboard. There are no rules of composition: they make passwords worse (NIST SP
800-63B-4).
"""

import itertools
import re
import unicodedata
from collections.abc import Collection

from domain.kernel.errors import RuleViolated

LENGTH_MAX = 256

_WORD_LIST = """
aaron abcdef abigail access account admin adminadmin administrator adobe alaska albert alexander
alexis alpha amanda america andrea andrew android angel angela animal anthony apollo apple arsenal
arthur asdf asdfasdf ashley asshole august austin autumn avalon awesome azerty babygirl bailey
banana barbara barcelona barney baseball basketball batman beach beaver benjamin berlin bigdaddy
bigdick billy birthday biteme blackie blahblah blink blizzard blowjob bond bonnie booboo boomer
boston brandon brandy braves brazil bronco broncos bubba buddy bulldog buster butter butterfly
calvin camaro cameron captain carlos carolina casey casper celtic changeit changeme changethis
charles charlie cheese chelsea cherry chester chevy chicago chicken chocolate chris christian
christina christine christmas cisco cocacola coffee compaq computer connect cookie cooper corvette
cowboy cowboys creative cricket crystal cumshot daddy dakota dallas daniel danielle david debbie
debian december default demo denise dennis destiny diablo diamond dictionary digital disney docker
doctor dolphin dolphins donald dragon dragonball dreams driver eagle eagles einstein elephant
elizabeth england enter enter12 everton example explorer extreme falcon family fantasy ferrari
firebird fishing florida flower flowers football football1 forever forgot france francis frank
freedom friend friends fuckme fuckoff fuckyou gandalf garfield gateway george germany getmein
giants ginger godzilla goldfish golfer google guest guitar hacker hammer hannah happy hardcore
harley harry heather hello helpme hockey horny hotdog house hunter iceman iloveu iloveyou inferno
internet ironman isabel isabella iwantu jackass jackson jaguar james january jasmine jason jasper
jenkins jennifer jeremy jessica jessie jesus johnny johnson jonathan jordan joseph joshua junior
jupiter justin kevin killer kitten kitty knight kubernetes ladies lakers lauren leather legend
leonardo letmein letmeinnow liberty light linux lizard login london looking lovely loveme lover
loverboy lovers loveyou lucky madison maggie magic manager manchester marina marine mariners
marlboro martin marvin master matrix matthew maverick maxwell melanie melissa member mercedes
mercury merlin metallica mexico michael michelle mickey midnight miller million minecraft mistress
mobile molly monday money monica monkey monkeys monster morgan mother mountain muffin murphy
mustang mypass mypassword mysql naruto nascar natasha nathan naughty newpass newpassword newyork
nicholas nicole nintendo nirvana nopass nopassword nothing november october oliver onelove
opensesame operator oracle orange pa$$word packers palmer pantera panther parker pass passcode
passme passphrase passw password passwort patricia patrick peaches peanut pepper phantom phoenix
player please pokemon police porsche postgres precious prince princess private public purple pussy
pwd qazwsx qwaszx qwert qwerty qwertz rabbit rachel racing raider raiders rainbow ranger rangers
raspberry rebecca redis redskins redsox redwings remember replaceme richard robert rocket root
rootroot rosebud royal rush2112 samantha sample samson samsung sandra saturn scooby scooter
scorpion scotland secret secret1 security september server service shadow shannon shelby shutup
sierra silver simpsons sister skippy slayer smokey snoopy soccer sophie spanky sparky spider
spiderman spring squirt srinivas starwars steelers stephen steven sticky stupid success summer
sunday sunflower sunshine superadmin superman superstar superuser support sweet swimming swordfish
sydney sysadmin system target taylor teacher temp temporary tennis teresa test tester testing
testpass testtest thomas thunder thursday tigers tigger time tinker titanic tomcat topgun toyota
travis trinity trouble true trustme trustno tuesday turtle twitter ubuntu united unknown user
valentina vampire vanessa victor victoria viking viper voodoo voyager walter warcraft warrior
weather webmaster welcome welcomeback whatever white william willie wilson windows winner winston
winter wizard wolf wolves xavier xbox360 yamaha yankee yankees yellow zachary zaq zeppelin
zxcvasdf
"""
_WORDS = frozenset(_WORD_LIST.split())
_WALKS = (
    "01234567890123456789",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "1q2w3e4r5t6z7u8i9o0p",
    "1q2w3e4r5t6y7u8i9o0p",
    "zaq12wsxcde34rfvbgt56yhn",
    "qazwsxedcrfvtgbyhnujmik",
    "q1w2e3r4t5y6u7i8o9p0",
    "00112233445566778899",
    "789456123",
    "147258369",
    "!@#$%^&*()",
)
_STEPS_MIN = 3
"""Fewer keys in a row may be chance."""
_LEET = {
    "0": "o",
    "1": "l",
    "3": "e",
    "4": "a",
    "5": "s",
    "7": "t",
    "8": "b",
    "@": "a",
    "$": "s",
    "!": "i",
}
_DECORATION = r"[\d\W_]{0,6}"
_OWN_LETTERS_MIN = 4
"""So much must be left when what has to do with the person is taken away."""


class PasswordRefused(RuleViolated):
    """This password cannot be accepted."""


def check_new_password(password: str, *, length_min: int, about: Collection[str] = ()) -> None:
    """Refuse a password that is too short, too long, or among the first to be tried.

    `about` has words that have to do with the person: the username, the e-mail address.
    """
    text = unicodedata.normalize("NFC", password)
    if len(text) < length_min:
        raise PasswordRefused(password=f"must have at least {length_min} characters")
    if len(text) > LENGTH_MAX:
        raise PasswordRefused(password=f"must have at most {LENGTH_MAX} characters")
    folded = text.casefold()
    if _is_tried_first(folded):
        raise PasswordRefused(password="is too common")  # noqa: S106  a reason, not a password
    if _is_about(folded, {"tallyport", *about}):
        raise PasswordRefused(password="is too close to your name or address")  # noqa: S106


def _is_tried_first(folded: str) -> bool:
    half = folded[: len(folded) // 2]
    if folded == half * 2 and (len(set(half)) == 1 or _is_decorated_word(half)):
        return True
    return (
        len(set(folded)) <= 2  # noqa: PLR2004  aaaaaaaa, abababab
        or _is_walk(folded)
        or any(_is_decorated_word(spelled) for spelled in _spellings(folded))
    )


def _spellings(folded: str) -> set[str]:
    """Return what a text spells when digits and signs stand for letters."""
    found = {folded}
    for one in ("i", "l"):
        table = str.maketrans({sign: one if sign == "1" else _LEET[sign] for sign in _LEET})
        # At the end they are more often decoration than letters: try every place to stop.
        spelled = folded.translate(table)
        found |= {
            spelled[:cut] + folded[cut:] for cut in range(max(0, len(folded) - 7), len(folded) + 1)
        }
    return found


def _is_decorated_word(text: str) -> bool:
    bare = re.fullmatch(rf"{_DECORATION}([^\d\W_](?:.*[^\d\W_])?){_DECORATION}", text)
    core = bare[1] if bare is not None else text
    return core in _WORDS or _is_walk(core) or _are_two_words(core)


def _are_two_words(text: str) -> bool:
    return any(
        text[:cut] in _WORDS and (text[cut:] in _WORDS or text[:cut] == text[cut:])
        for cut in range(_STEPS_MIN, len(text) - _STEPS_MIN + 1)
    )


def _is_walk(text: str) -> bool:
    """Tell whether the text is made of a few walks along keys or letters, such as 123qweasd."""
    pieces = rest = 0
    while rest < len(text):
        longest = max((_steps(text[rest:], walk) for walk in _both_ways()), default=0)
        repeated = len(list(next(itertools.groupby(text[rest:]))[1]))
        longest = max(longest, repeated)
        if longest < _STEPS_MIN:
            return False
        rest += longest
        pieces += 1
    return 0 < pieces <= max(1, len(text) // _STEPS_MIN)


def _both_ways() -> tuple[str, ...]:
    return (*_WALKS, *(walk[::-1] for walk in _WALKS))


def _steps(text: str, walk: str) -> int:
    """Return how many characters the text begins with that follow each other in the walk."""
    for length in range(min(len(text), len(walk)), _STEPS_MIN - 1, -1):
        if text[:length] in walk:
            return length
    return 0


def _is_about(folded: str, words: Collection[str]) -> bool:
    parts = {
        part for word in words for part in (word.casefold(), word.casefold().partition("@")[0])
    }
    for part in sorted(parts, key=len, reverse=True):
        if len(part) < _STEPS_MIN or part not in folded:
            continue
        left = re.sub(r"[\d\W_]", "", folded.replace(part, " "))
        if len(left) < _OWN_LETTERS_MIN or left in _WORDS:
            return True
    return False
