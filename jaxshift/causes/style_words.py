"""Words by which tokens are sorted (see `categories`): English, lower case, chosen by hand from what the papers name.

arXiv 2402.05119 names "However" and "Typically"; URIAL (arXiv 2312.01552) names discourse markers, transitions and
safety disclaimers. A word or phrase of DISCOURSE counts where it opens, one of POLITENESS anywhere.
"""

# ruff: noqa: SIM905  (lists of words read better as text)

from __future__ import annotations

DISCOURSE = tuple(
    tuple(phrase.split())
    for phrase in (
        'according to|accordingly|actually|additionally|after all|again|all in all|all things considered|also|'
        'alternatively|although|and|anyway|as a result|as far as anybody can tell|as mentioned|as well as|at last|'
        'basically|because|because of this|besides|but|by contrast|clearly|consequently|conversely|'
        'essentially|even so|eventually|finally|first|first of all|firstly|for example|for instance|for one thing|'
        'for this reason|fortunately|fourthly|frequently|furthermore|generally|generally speaking|hence|here are|'
        "here is|here's|historically|however|if|in addition|in brief|in conclusion|in contrast|in essence|in fact|"
        'in general|in my opinion|in order to|in other words|in particular|in short|in summary|in the end|in this case|'
        'in this way|indeed|initially|instead|interestingly|it depends|it is clear that|it is crucial to|'
        'it is important to note that|it is important to|it is worth mentioning that|it is worth noting that|'
        "it's important to note that|it's important to|it's worth noting that|keep in mind|last|lastly|later|let us|"
        "let's|likewise|long story short|mainly|meanwhile|moreover|most importantly|namely|nevertheless|next|"
        'nonetheless|normally|note that|notably|now|obviously|of course|often|on the contrary|on the one hand|'
        'on the other hand|once|or|ordinarily|otherwise|overall|particularly|perhaps|please note that|potentially|'
        'rather|regardless|remember|second|secondly|similarly|simply put|since|so|sometimes|specifically|still|'
        'such as|that is|that said|then|therefore|there are many|there are several|there is no doubt that|third|'
        'thirdly|though|thus|to begin with|to conclude|to start|to sum up|to summarize|traditionally|typically|'
        'typically one would say that|ultimately|under these circumstances|usually|well|what is more|when|while|yet'
    ).split('|')
)

POLITENESS = tuple(
    tuple(phrase.split())
    for phrase in (
        'absolutely|advise|advised|apologies|apologise|apologize|appreciate|as a language model|as an ai|assist|'
        "assistance|can't help|cannot help|cannot provide|care provider|certainly|congratulations|consult|consulting|"
        'dear|delighted|discriminatory|ethical|excuse me|feel free|glad|gladly|great question|happy to|harmful|hello|'
        "help you|hi|hope|i can't|i cannot|i hope|i understand|i'm sorry|illegal|inappropriate|kindly|language model|"
        'let me know|my apologies|my pleasure|no problem|offensive|please|qualified|recommend|recommended|respectful|'
        "respectfully|sincerely|sorry|sure|thank|thank you|thanks|unethical|unfortunately|warmly|welcome|you're welcome"
    ).split('|')
)

FUNCTION = frozenset(
    (
        'a about above across after against all along already also although always am among an and another '
        "any anybody anyone anything are aren't around as at away be because been before behind being below "
        "beneath beside between both but by can can't cannot could couldn't despite did didn't do does "
        "doesn't doing don't done down during each either else enough even ever every everybody everyone "
        "everything except few for from further had hadn't has hasn't have haven't having he he's hence her "
        "here hers herself him himself his how however i i'd i'll i'm i've if in inside into is isn't it "
        "it'll it's its itself just least less like many may me might mine more most much must mustn't my "
        'myself near neither never no nobody none nor not nothing now of off on once one only onto or other '
        "others otherwise ought our ours ourselves out outside over own per quite rather same shall she she's "
        "should shouldn't since so some somebody someone something still such than that that's the their "
        "theirs them themselves then there there's these they they're they've this those though through "
        "throughout to too toward towards under unless until up upon us very via was wasn't we we'll we're "
        "we've were weren't what what's whatever when where whereas whether which while who who's whoever "
        "whom whose why will with within without won't would wouldn't yes yet you you'd you'll you're you've "
        'your yours yourself yourselves'
    ).split()
)
