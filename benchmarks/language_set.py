"""What bench-language judges: labelled sentences made into documents, with English notices, menus and other languages."""

import random
import zlib
from pathlib import Path

SPACELESS = frozenset({"ja", "th", "zh"})
# Labels of the sentences that lid.176 writes otherwise.
LID_176 = {"nb": "no"}
CLOSE = (
    "hr bs sr",
    "nb nn da",
    "id ms",
    "pt gl es",
    "ca es",
    "cs sk",
    "nl af",
    "ru uk be",
    "bg mk sr",
    "hi mr",
    "ar fa ur",
    "xh zu",
)

# Nobody chose a threshold on these; about 900 characters each.
NOTICES = {
    "cookies": (
        "This website stores small files on your computer, which are known as cookies. Some of them are needed for the"
        " shopping basket and for signing in, and cannot be switched off. With your permission we also use cookies that"
        " tell us which pages people visit, so that we can make them better, and cookies of our advertising partners, who"
        " may combine what they learn here with what they know of you from elsewhere. You can accept all cookies, reject"
        " those that are not necessary, or decide for each purpose in the preferences. Your choice is kept for six months,"
        " and you may withdraw it at any time by following the link at the foot of the page. Please read our privacy"
        " statement to find out who is responsible for your data, how long they are kept, and what rights you have under"
        " the regulation. If you are under sixteen, ask a parent before you agree."
    ),
    "copyright": (
        "All material in this volume is protected by copyright, and no part of it may be copied, translated or put into a"
        " database by any process without the written consent of the publishers. Requests for permission to reprint should"
        " be addressed to the rights department. The authors have asserted their moral rights to be named as the creators"
        " of their work. First published in hardback; this edition first published in paperback the following year. A"
        " catalogue record for this book is available from the national library. Every effort has been made to trace the"
        " holders of copyright in the pictures; the publishers will be glad to put right any omission in future editions."
        " Typeset in eleven on thirteen point by the printers, and bound at their works from papers that are natural,"
        " recyclable and made from wood grown in sustainable forests."
    ),
    "ebook": (
        "This electronic book was made from page scans of the first edition by members of a volunteer community, who"
        " corrected the text page by page. It may be read, copied and handed on free of charge wherever the copyright of"
        " the work has run out; in some countries that is not the case, so find out before you download it. Spelling and"
        " punctuation follow the original, but plain misprints have been mended, and a list of them stands at the end of"
        " the file. Page numbers were left out, and footnotes were moved to the ends of the chapters. If you find a"
        " mistake that we have overlooked, please send a message with the title, the line and your correction. The cover"
        " was designed by the transcriber and is placed in the public domain. Start of the text of this electronic book."
        " Please do not remove this header when you share the file with others."
    ),
    "forum": (
        "You are viewing this board as a guest, which gives you limited access to the discussions. By joining our free"
        " community you will be able to post topics, talk privately with other members, answer polls, upload pictures and"
        " use many other features. Registration is quick and simple, so please create an account today. Stay on topic, be"
        " polite, and search before you ask; moderators may close or move threads without warning. Links to shops and"
        " referral codes are deleted. Opinions are those of the people who wrote them and not of the owners of the board."
        " If you have forgotten your password, use the reminder page, or contact the support team with the name under"
        " which you signed up. Times are shown in your own zone. There are thirty guests and four members online right"
        " now. The most recent posts, and the whole thread, follow under this line."
    ),
    "ministry": (
        "This page is part of the former website of the ministry and is kept for the record. It will not be brought up to"
        " date, and some of its links may no longer work. Statements made here were correct on the day on which they were"
        " made, and do not bind the present government. The English pages are a selection; all laws, answers to questions"
        " in parliament and notes to the press are given in the official language alone, which has legal force. People who"
        " use a screen reader can ask for the documents in another format, and we will send it within twenty working days."
        " For questions about passports, taxes and pensions go to the citizens' portal, where forms can be filled in"
        " online. The archive is cared for by the national library, to which you should write if you believe that a"
        " document should not be on show. Thank you for your patience."
    ),
    "player": (
        "To play this programme you need to switch on scripts in your browser and have the latest version of our player."
        " We will be bringing you a new and better listening experience soon, and would like to hear what you think of it."
        " Some programmes can only be heard at home because of the rights of musicians. Subtitles, signed versions and"
        " transcripts are made for most series, and appear a day or two after the broadcast. Download our app to take"
        " episodes with you, make a list of favourites and carry on where you left off. Related links lead to sites of"
        " other makers, for whose content we are not responsible. The description below was supplied by the broadcaster in"
        " the country of origin and has been left as we received it. Let us know about the problem if nothing happens when"
        " you press the button, and tell us which device you were using then."
    ),
}
MENU = (
    "Home\nNews\nAbout us\nOur team\nContact\nFrequently asked questions\nLog in\nRegister\nShopping cart (0)\nNewsletter\n"
    "Search this site\nPrevious page\nNext page\nShare on social media\nPrint\nLike this post\nLeave a comment\n"
    "Related articles\nCookie settings\n"
)
FOOTER = (
    "\nTerms of use\nPrivacy policy\nSitemap\nAccessibility\nJobs\nPress\nFollow us\nAll rights reserved\n"
    "Powered by WordPress\nBack to top\n"
)


def sentences(folder: Path, half: int) -> dict[str, list[str]]:
    """Return half of the labelled sentences by language: 0 for choosing, 1 for reporting. A hash of the sentence divides them."""
    found = {}
    for path in sorted(folder.glob("*.txt")):
        lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
        found[path.stem] = [line for line in lines if zlib.crc32(line.encode()) & 1 == half]
    return found


def documents(lines: list[str], characters: int, count: int, seed: str) -> list[str]:
    """Return texts of so many characters, each of sentences drawn at random from one language; 0: a sentence each."""
    chance, texts = random.Random(seed), []
    while len(texts) < count:
        chance.shuffle(lines)
        if not characters:
            texts += lines[: count - len(texts)]
            continue
        text = ""
        for line in lines:
            text += line + " "
            if len(text) > characters:
                break
        texts.append(text[:characters].strip())
    return texts
