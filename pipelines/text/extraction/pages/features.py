"""The numbers that the model sees of each block: FEATURES, float32, a row a block."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages import blocks as b
from pipelines.text.extraction.pages import elements as e
from pipelines.text.extraction.pages.blocks import Blocks
from pipelines.text.extraction.pages.elements import class_hash, element_tokens, is_concealed, odds_of
from pipelines.text.extraction.pages.page_head import SET_SIZE, add_words, read_canonical, read_meta, shared, types_of_data
from pipelines.text.extraction.pages.tags import BLOCK, CELL, HEADING, HIDDEN, IDS, TEXT, names
from pipelines.text.extraction.pages.tree import Tree
from pipelines.text.kernels import jit, jit_borrowing, jit_internal

PROSE_WIDTH = 60  # a block at least so wide, with few links, is prose
_MOST_TOKENS = 64  # of an element's class and id
_MOST_PROBES = 512  # of a hash table: a page may choose names and texts that collide; beyond this, they count as the same
TITLE, H1, SCRIPT, META, LINK = (IDS[name] for name in ("title", "h1", "script", "meta", "link"))
IMG, TIME, BUTTON, INPUT, SELECT = (IDS[name] for name in ("img", "time", "button", "input", "select"))

_OWN = (
    "width words word_length link_share links terminals commas digits capitals ends first bold breaks copyright separators prices"
    " at question quotes nodes non_ascii spaceless widest_word same_text title_share title_cover described"
)
_ELEMENT = (
    "p li heading cell dt dd pre div other_container article main nav header footer aside form figure table list quote in_pre"
    " button label concealed noscript details section address ordered paragraph definition list_depth table_depth depth child"
    " children"
)
_PLACE = (
    "index share_before blocks_before blocks_after prose_before prose_after to_heading heading_level heading_links heading_odds"
)
_PLACE_2 = " heading_width next_heading headings_before after_h1"
_ANCESTOR = "width links blocks prose terminals share"
_LEVELS = "container parent grandparent great_grandparent"
_BEST = "in_best best_up in_second second_up place_of_best from_best best_share"
_REPEATED = "path_count path_width path_links path_share near_count near_width near_links near_prose outer_count outer_width"
_REPEATED_2 = " outer_links outer_prose outer_share outer_index"
_THINGS = "near_images near_times near_controls outer_images outer_times outer_controls parent_images"
_THINGS_2 = " great_images page_images page_times"
_NEIGHBOUR = "width links terminals same_path heading odds"
_ODDS = "own_names names_sum names_least names_most parent_names words_mean words_least words_most text_odds"
_PAGE = "page_width page_blocks page_links page_prose page_articles page_widest page_terminals page_odds page_prose_share"
_PAGE_2 = " page_headings address_depth address_hyphens address_digits address_length address_query"
_TYPES = "says_article says_product says_forum says_list says_site"
_WINDOW = "window_width window_links window_prose"

FEATURES: tuple[str, ...] = tuple(
    [
        *_OWN.split(),
        *_ELEMENT.split(),
        *(_PLACE + _PLACE_2).split(),
        *[f"{level}_{name}" for level in _LEVELS.split() for name in _ANCESTOR.split()],
        *_BEST.split(),
        *(_REPEATED + _REPEATED_2).split(),
        *(_THINGS + _THINGS_2).split(),
        *[f"{name}{place:+d}" for place in (-3, -2, -1, 1, 2, 3) for name in _NEIGHBOUR.split()],
        *_ODDS.split(),
        *(_PAGE + _PAGE_2).split(),
        *_TYPES.split(),
        *_WINDOW.split(),
    ]
)


class Lexicon(NamedTuple):
    """Log odds of being main text: hash tables (open addressing; a key of 0 is free) of names and of words."""

    name_keys: NDArray[np.uint64]
    name_odds: NDArray[np.float32]
    word_keys: NDArray[np.uint64]
    word_odds: NDArray[np.float32]
    text_keys: NDArray[np.uint64]  # of whole short texts
    text_odds: NDArray[np.float32]


class Places(NamedTuple):
    """How the blocks of a page belong together."""

    path: NDArray[np.int32]  # by block: a number for all blocks whose elements have the same tags and classes; -1 if none
    code: NDArray[np.int32]  # a number for all blocks of the same <pre>; -1 outside
    table: NDArray[np.int32]  # of the same (innermost) <table>
    prose: NDArray[np.bool_]  # wide, with few links
    is_body: NDArray[np.bool_]  # belongs to the element whose own paragraphs hold the most prose


def features(tree: Tree, blocks: Blocks, lexicon: Lexicon) -> tuple[NDArray[np.float32], Places]:
    """Return the features of all blocks of a page, float32[blocks, FEATURES], and how they belong together."""
    matrix, *places = _features(tree, blocks, lexicon, names().kinds, b.characters(), b.lower_case(), len(FEATURES))
    return matrix, Places._make(places)


@jit
def _features(tree: Any, blocks: Any, lexicon: Any, kinds: Any, characters: Any, lower: Any, columns: int) -> Any:
    rows, nodes = blocks.first.size, tree.tag.size
    out = np.zeros((rows, columns), np.float32)
    path_of, code_of, table_of = np.full(rows, -1, np.int32), np.full(rows, -1, np.int32), np.full(rows, -1, np.int32)
    is_prose, is_body = np.zeros(rows, np.bool_), np.zeros(rows, np.bool_)
    if rows == 0:
        return out, path_of, code_of, table_of, is_prose, is_body
    counts = blocks.counts
    # 1. Elements: what they inherit.
    bits = np.zeros(nodes, np.int64)
    level, list_depth, table_depth = np.zeros(nodes, np.int32), np.zeros(nodes, np.int32), np.zeros(nodes, np.int32)
    path = np.zeros(nodes, np.uint64)
    own_odds, sum_odds = np.zeros(nodes, np.float32), np.zeros(nodes, np.float32)
    least_odds, most_odds = np.zeros(nodes, np.float32), np.zeros(nodes, np.float32)
    up = np.full(nodes, -1, np.int32)  # the next block-level ancestor
    child, children = np.zeros(nodes, np.int32), np.zeros(nodes, np.int32)  # place among the element's siblings
    code, table = np.full(nodes, -1, np.int32), np.full(nodes, -1, np.int32)  # the innermost <pre> and <table>
    seen = np.empty(_MOST_TOKENS, np.uint64)
    title, description = np.zeros(SET_SIZE, np.uint64), np.zeros(SET_SIZE, np.uint64)
    title_size, articles = 0, 0
    says = np.zeros(5, np.bool_)
    address = np.zeros(5, np.int64)
    things = np.zeros((nodes + 1, 3), np.int32)  # images, times and controls before each node
    node = 0
    while node < nodes:
        tag, parent = tree.tag[node], tree.parent[node]
        if tag == TEXT:
            node += 1
            continue
        bits[node] = e.BITS[tag]
        path[node] = np.uint64(tag) * np.uint64(0x9E3779B97F4A7C15) ^ class_hash(tree, node)
        size = element_tokens(tree, node, seen)
        total, least, most = np.float32(0), np.float32(0), np.float32(0)
        for i in range(size):
            odds = odds_of(lexicon.name_keys, lexicon.name_odds, seen[i])
            total += odds
            least, most = min(least, odds), max(most, odds)
        own_odds[node] = least + most
        if is_concealed(tree, node):
            bits[node] |= e.CONCEALED
        if parent >= 0:
            bits[node] |= bits[parent]
            level[node] = level[parent] + 1
            list_depth[node], table_depth[node] = list_depth[parent], table_depth[parent]
            path[node] ^= path[parent] * np.uint64(0x100000001B3)
            sum_odds[node] = np.float32(0.8) * sum_odds[parent]
            least_odds[node], most_odds[node] = least_odds[parent], most_odds[parent]
            up[node] = parent if kinds[tree.tag[parent]] & BLOCK else up[parent]
            code[node], table[node] = code[parent], table[parent]
            child[node] = children[parent]
            children[parent] += 1
        if e.BITS[tag] & e.TABLE:
            table[node] = node
        elif tag == PRE_TAG:
            code[node] = node
        list_depth[node] += (e.BITS[tag] & e.LIST) != 0
        table_depth[node] += (e.BITS[tag] & e.TABLE) != 0
        articles += (e.BITS[tag] & e.ARTICLE) != 0
        if tag == META:
            read_meta(tree, node, characters, lower, description, says)
        elif tag == LINK and address[3] == 0:
            read_canonical(tree, node, address)
        sum_odds[node] += own_odds[node]
        least_odds[node], most_odds[node] = min(least_odds[node], least), max(most_odds[node], most)
        if kinds[tag] & HIDDEN:
            if tag == TITLE and title_size == 0 and tree.end[node] > node + 1:
                title_size = add_words(tree.text, tree.start[node + 1], tree.stop[node + 1], characters, lower, title)
            elif tag == SCRIPT:
                types_of_data(tree, node, says)
            node = tree.end[node]
            continue
        node += 1
    # 2. Sums before each node, so that the sum of an element is a difference.
    sums = np.zeros((nodes + 1, 5), np.float32)  # width, width in links, blocks, width of prose, terminals
    row_at = np.zeros(nodes + 1, np.int32)  # blocks before each node
    row = 0
    total_width, total_link, total_prose, total_terminals, widest = 0.0, 0.0, 0.0, 0.0, 0.0
    headings = 0
    for node in range(nodes):
        for i in range(5):
            sums[node + 1, i] = sums[node, i]
        tag = tree.tag[node]
        things[node + 1, 0] = things[node, 0] + (tag == IMG)
        things[node + 1, 1] = things[node, 1] + (tag == TIME)
        things[node + 1, 2] = things[node, 2] + (tag in (BUTTON, INPUT, SELECT))
        row_at[node] = row
        if row < rows and blocks.first[row] == node:
            width, link = counts[row, b.WIDTH], counts[row, b.LINK_WIDTH]
            is_prose[row] = width >= PROSE_WIDTH and link * 3 < width
            sums[node + 1, 0] += width
            sums[node + 1, 1] += link
            sums[node + 1, 2] += 1
            sums[node + 1, 3] += width if is_prose[row] else 0
            sums[node + 1, 4] += counts[row, b.TERMINALS]
            total_width += width
            total_link += link
            total_prose += width if is_prose[row] else 0
            total_terminals += counts[row, b.TERMINALS]
            widest = max(widest, width)
            container = blocks.container[row]
            headings += container >= 0 and (kinds[tree.tag[container]] & HEADING) != 0
            row += 1
    row_at[nodes] = row
    # 3. Paths of tag and class that repeat.
    slots = 16
    while slots < 2 * nodes:
        slots *= 2
    keys, group_of = np.zeros(slots, np.uint64), np.full(nodes, -1, np.int32)
    slot_group = np.zeros(slots, np.int32)
    group_sums = np.zeros((nodes, 8), np.float32)  # elements; width, links, blocks, prose in them; images, times, controls
    groups = 0
    mask = np.uint64(slots - 1)
    for node in range(nodes):
        if tree.tag[node] == TEXT or not kinds[tree.tag[node]] & BLOCK:
            continue
        key = path[node] | np.uint64(1)
        slot = (key ^ key >> np.uint64(32)) & mask
        last = slot + np.uint64(_MOST_PROBES)
        while keys[slot & mask] != 0 and keys[slot & mask] != key and slot < last:
            slot += np.uint64(1)
        slot &= mask
        if keys[slot] == 0:
            keys[slot], slot_group[slot] = key, groups
            groups += 1
        group = slot_group[slot]
        group_of[node] = group
        end = tree.end[node]
        group_sums[group, 0] += 1
        for i in range(4):
            group_sums[group, 1 + i] += sums[end, i] - sums[node, i]
        for i in range(3):
            group_sums[group, 5 + i] += things[end, i] - things[node, i]
    near, outer = np.full(nodes, -1, np.int32), np.full(nodes, -1, np.int32)
    seen_of_group = np.zeros(max(groups, 1), np.int32)
    place_in_group = np.zeros(nodes, np.int32)
    for node in range(nodes):
        parent, group = tree.parent[node], group_of[node]
        if parent >= 0:
            near[node], outer[node] = near[parent], outer[parent]
        if group >= 0:
            place_in_group[node] = seen_of_group[group]
            seen_of_group[group] += 1
            if group_sums[group, 0] >= 3 and group_sums[group, 3] >= 3:
                near[node] = node
                if outer[node] < 0:
                    outer[node] = node
    # 4. The element that holds most of the prose, and the one whose own paragraphs hold most.
    best = _narrowest(tree, sums, total_prose)
    mass = np.zeros(nodes, np.float32)
    for row in range(rows):
        container = blocks.container[row]
        if is_prose[row] and container >= 0 and up[container] >= 0:
            mass[up[container]] += counts[row, b.WIDTH]
    second = 0
    for node in range(nodes):
        if mass[node] > mass[second]:
            second = node
    # 5. The same text twice.
    same = _repeats(blocks.text_hash)
    names_of = np.zeros(rows, np.float32)
    page_odds = 0.0
    for row in range(rows):
        container = blocks.container[row]
        parent = tree.parent[blocks.first[row]]
        if parent >= 0:
            names_of[row] = sum_odds[parent]
            page_odds += names_of[row] * counts[row, b.WIDTH]
    # 6. Block by block.
    before, prose_before = 0.0, 0.0
    heading, heading_odds, headings_before, h1_row = -1, np.float32(0), 0, -1
    next_heading = np.full(rows, 99, np.float32)
    last = -1
    for row in range(rows - 1, -1, -1):
        container = blocks.container[row]
        if last >= 0:
            next_heading[row] = last - row
        if container >= 0 and kinds[tree.tag[container]] & HEADING:
            last = row
    window = np.zeros((rows + 1, 3), np.float32)
    for row in range(rows):
        window[row + 1, 0] = window[row, 0] + counts[row, b.WIDTH]
        window[row + 1, 1] = window[row, 1] + counts[row, b.LINK_WIDTH]
        window[row + 1, 2] = window[row, 2] + (counts[row, b.WIDTH] if is_prose[row] else 0)
    for row in range(rows):
        at = 0
        count, f = counts[row], out[row]
        width = max(1.0, float(count[b.WIDTH]))
        first = blocks.first[row]
        parent = tree.parent[first]
        container = blocks.container[row]
        tag = tree.tag[container] if container >= 0 else 1
        flags = bits[parent] if parent >= 0 else 0
        if parent >= 0:
            code_of[row], table_of[row] = code[parent], table[parent]
        is_body[row] = second <= first < tree.end[second]
        words = max(1.0, float(count[b.WORDS]))
        # Own.
        f[0], f[1], f[2], f[3], f[4] = width, words, width / words, count[b.LINK_WIDTH] / width, count[b.LINKS]
        f[5], f[6], f[7] = count[b.TERMINALS] * 50 / width, count[b.COMMAS] * 50 / width, count[b.DIGITS] / width
        f[8], f[9], f[10] = count[b.UPPER] / max(1.0, float(count[b.LETTERS])), count[b.ENDS], count[b.FIRST]
        f[11], f[12], f[13], f[14] = count[b.BOLD_WIDTH] / width, count[b.BREAKS], count[b.COPYRIGHT], count[b.SEPARATOR]
        f[15], f[16], f[17], f[18] = count[b.PRICE], count[b.AT], count[b.QUESTION], count[b.QUOTE]
        f[19], f[20], f[21] = count[b.NODES], count[b.NON_ASCII] / width, count[b.SPACELESS_WIDTH] / width
        f[22], f[23] = count[b.WIDEST_WORD], same[row]
        begin, end = blocks.first_token[row], blocks.first_token[row + 1]
        common = shared(blocks.tokens, begin, end, title)
        f[24], f[25] = common / max(1, end - begin), common / max(1, title_size)
        f[26] = shared(blocks.tokens, begin, end, description) / max(1, end - begin)
        at = 27
        # Element.
        kind = kinds[tag]
        f[at], f[at + 1] = tag == P, tag == LI
        f[at + 2] = (tag - H1 + 1) if kind & HEADING else 0
        f[at + 3], f[at + 4], f[at + 5], f[at + 6] = (kind & CELL) != 0, tag == DT, tag == DD, tag == PRE_TAG
        f[at + 7] = tag == DIV
        f[at + 8] = not (kind & (HEADING | CELL) or tag in (P, LI, DT, DD, PRE_TAG, DIV))
        for i in range(22):
            f[at + 9 + i] = (flags >> i) & 1
        f[at + 31] = list_depth[parent] if parent >= 0 else 0
        f[at + 32] = table_depth[parent] if parent >= 0 else 0
        f[at + 33] = level[parent] if parent >= 0 else 0
        f[at + 34] = child[container] if container >= 0 else 0
        holder = tree.parent[container] if container >= 0 else -1
        f[at + 35] = children[holder] if holder >= 0 else 0
        at += 36
        # Place.
        f[at], f[at + 1], f[at + 2] = row / rows, before / total_width, row
        f[at + 3] = rows - 1 - row
        f[at + 4] = prose_before / max(1.0, total_prose)
        f[at + 5] = (total_prose - prose_before - (width if is_prose[row] else 0)) / max(1.0, total_prose)
        f[at + 6] = row - heading if heading >= 0 else 99
        if heading >= 0:
            f[at + 7] = tree.tag[blocks.container[heading]] - H1 + 1
            f[at + 8] = counts[heading, b.LINK_WIDTH] / max(1, counts[heading, b.WIDTH])
            f[at + 9] = heading_odds
            f[at + 10] = counts[heading, b.WIDTH]
        f[at + 11] = next_heading[row]
        f[at + 12] = headings_before
        f[at + 13] = row - h1_row if h1_row >= 0 else -1
        at += 14
        # Ancestors.
        ancestor = container
        for _ in range(4):
            if ancestor >= 0:
                end = tree.end[ancestor]
                w = max(1.0, sums[end, 0] - sums[ancestor, 0])
                f[at], f[at + 1] = w, (sums[end, 1] - sums[ancestor, 1]) / w
                f[at + 2] = sums[end, 2] - sums[ancestor, 2]
                f[at + 3] = (sums[end, 3] - sums[ancestor, 3]) / w
                f[at + 4] = (sums[end, 4] - sums[ancestor, 4]) * 50 / w
                f[at + 5] = w / total_width
                ancestor = up[ancestor]
            else:
                f[at], f[at + 1], f[at + 2] = total_width, total_link / total_width, rows
                f[at + 3], f[at + 4], f[at + 5] = total_prose / total_width, total_terminals * 50 / total_width, 1
            at += 6
        # The best elements.
        f[at], f[at + 1] = _inside(tree, first, best)
        f[at + 2], f[at + 3] = _inside(tree, first, second)
        begin, end = row_at[second], row_at[tree.end[second]]
        f[at + 4] = 0 if row < begin else 1 if row < end else 2
        f[at + 5] = row - begin if row < begin else row - end if row >= end else 0
        f[at + 6] = mass[second] / max(1.0, total_prose)
        at += 7
        # Repeated paths.
        if container >= 0 and group_of[container] >= 0:
            group = group_sums[group_of[container]]
            w = max(1.0, float(group[1]))
            f[at], f[at + 1], f[at + 2], f[at + 3] = group[0], w / group[0], group[2] / w, w / total_width
            path_of[row] = group_of[container]
        at += 4
        ancestor = near[container] if container >= 0 else -1
        if ancestor >= 0:
            group = group_sums[group_of[ancestor]]
            w = max(1.0, float(group[1]))
            f[at], f[at + 1], f[at + 2], f[at + 3] = group[0], w / group[0], group[2] / w, group[4] / w
        at += 4
        ancestor = outer[container] if container >= 0 else -1
        if ancestor >= 0:
            group = group_sums[group_of[ancestor]]
            w = max(1.0, float(group[1]))
            f[at], f[at + 1], f[at + 2], f[at + 3] = group[0], w / group[0], group[2] / w, group[4] / w
            f[at + 4], f[at + 5] = w / total_width, place_in_group[ancestor] / group[0]
        at += 6
        ancestor = near[container] if container >= 0 else -1
        for i in range(3):
            f[at + i] = group_sums[group_of[ancestor], 5 + i] / group_sums[group_of[ancestor], 0] if ancestor >= 0 else 0
        ancestor = outer[container] if container >= 0 else -1
        for i in range(3):
            f[at + 3 + i] = group_sums[group_of[ancestor], 5 + i] / group_sums[group_of[ancestor], 0] if ancestor >= 0 else 0
        ancestor = up[container] if container >= 0 else -1
        f[at + 6] = things[tree.end[ancestor], 0] - things[ancestor, 0] if ancestor >= 0 else 0
        ancestor = up[ancestor] if ancestor >= 0 else -1
        f[at + 7] = things[tree.end[ancestor], 0] - things[ancestor, 0] if ancestor >= 0 else 0
        f[at + 8], f[at + 9] = things[nodes, 0], things[nodes, 1]
        at += 10
        # Neighbours.
        for step in range(6):
            other = row + (step - 3 if step < 3 else step - 2)
            if 0 <= other < rows:
                w = max(1.0, float(counts[other, b.WIDTH]))
                f[at], f[at + 1] = w, counts[other, b.LINK_WIDTH] / w
                f[at + 2] = counts[other, b.TERMINALS] * 50 / w
                near_by = blocks.container[other]
                f[at + 3] = near_by >= 0 and container >= 0 and path[near_by] == path[container]
                f[at + 4] = near_by >= 0 and (kinds[tree.tag[near_by]] & HEADING) != 0
                f[at + 5] = names_of[other]
            else:
                f[at] = f[at + 1] = f[at + 2] = f[at + 3] = f[at + 4] = f[at + 5] = -1
            at += 6
        # Odds.
        if parent >= 0:
            f[at], f[at + 1], f[at + 2], f[at + 3] = own_odds[parent], sum_odds[parent], least_odds[parent], most_odds[parent]
            f[at + 4] = own_odds[tree.parent[parent]] if tree.parent[parent] >= 0 else 0
        mean, least, most = _word_odds(blocks, row, lexicon)
        f[at + 5], f[at + 6], f[at + 7] = mean, least, most
        f[at + 8] = odds_of(lexicon.text_keys, lexicon.text_odds, blocks.text_hash[row]) if words <= 12 else 0
        at += 9
        # Page.
        f[at], f[at + 1], f[at + 2] = total_width, rows, total_link / total_width
        f[at + 3], f[at + 4], f[at + 5] = total_prose, min(articles, 20), widest
        f[at + 6], f[at + 7] = total_terminals * 50 / total_width, page_odds / total_width
        f[at + 8], f[at + 9] = total_prose / total_width, headings
        for i in range(5):
            f[at + 10 + i] = address[i]
            f[at + 15 + i] = says[i]
        at += 20
        low, high = max(0, row - 5), min(rows, row + 6)
        w = max(np.float32(1), window[high, 0] - window[low, 0])
        f[at], f[at + 1], f[at + 2] = w, (window[high, 1] - window[low, 1]) / w, (window[high, 2] - window[low, 2]) / w
        at += 3
        # What the next block will see.
        before += count[b.WIDTH]
        prose_before += count[b.WIDTH] if is_prose[row] else 0
        if kind & HEADING:
            heading, heading_odds = row, mean + odds_of(lexicon.text_keys, lexicon.text_odds, blocks.text_hash[row])
            headings_before += 1
            if tag == H1:
                h1_row = row
    return out, path_of, code_of, table_of, is_prose, is_body


P, LI, DT, DD, PRE_TAG, DIV = (IDS[name] for name in ("p", "li", "dt", "dd", "pre", "div"))


@jit_borrowing
def _word_odds(blocks: Any, row: int, lexicon: Any) -> Any:
    total, least, most, known = np.float32(0), np.float32(0), np.float32(0), 0
    for i in range(blocks.first_token[row], blocks.first_token[row + 1]):
        odds = odds_of(lexicon.word_keys, lexicon.word_odds, blocks.tokens[i])
        if odds != 0:
            known += 1
            total += odds
            least, most = min(least, odds), max(most, odds)
    return total / max(1, known), least, most


@jit_borrowing
def _narrowest(tree: Any, sums: Any, total: float) -> int:
    """Return the deepest element that holds three fifths of the prose."""
    best = 0
    node = 0
    while node < tree.tag.size:
        if tree.tag[node] != TEXT and sums[tree.end[node], 3] - sums[node, 3] >= 0.6 * total and total > 0:
            best = node
            node += 1
        else:
            node = max(node + 1, tree.end[node])
    return best


@jit_borrowing
def _inside(tree: Any, node: int, element: int) -> tuple[int, int]:
    """Return whether a node lies in an element, and how many levels above the element their common ancestor is."""
    steps = 0
    while element >= 0 and not (element <= node < tree.end[element]):
        element = tree.parent[element]
        steps += 1
    return int(steps == 0), steps


@jit_internal
def _repeats(hashes: Any) -> Any:
    """Return how often each text stands on the page."""
    rows = hashes.size
    slots = 16
    while slots < 2 * rows:
        slots *= 2
    keys, times, slot_of = np.zeros(slots, np.uint64), np.zeros(slots, np.int32), np.empty(rows, np.int64)
    mask = np.uint64(slots - 1)
    for row in range(rows):
        key = hashes[row] | np.uint64(1)
        slot = (key ^ key >> np.uint64(32)) & mask
        last = slot + np.uint64(_MOST_PROBES)
        while keys[slot & mask] != 0 and keys[slot & mask] != key and slot < last:
            slot += np.uint64(1)
        slot &= mask
        keys[slot] = key
        times[slot] += 1
        slot_of[row] = slot
    return times[slot_of]
