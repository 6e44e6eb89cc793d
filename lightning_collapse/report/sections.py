"""The sections of a report's page, each as HTML."""

import base64
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np

from lightning_collapse.analysis.verdict import RULE, Verdict
from lightning_collapse.report.comparison import MOST_TOGETHER, Comparison, Judged, course
from lightning_collapse.report.curves import draw_panel, draw_profiles, panels
from lightning_collapse.report.dose import draw_doses, least_real
from lightning_collapse.report.drawn import Drawn, inline_svg
from lightning_collapse.report.figures import run_sampler
from lightning_collapse.report.strips import Strip, Strips, encode_picture
from lightning_collapse.report.words import at_round, beside, closing, missing, told

__all__ = [
    "conditions_table",
    "cost_table",
    "figures_bar",
    "figures_of",
    "least_real_words",
    "listed",
    "looks_style",
    "made_by",
    "plots",
    "sampler_words",
    "strips_of",
    "table",
    "verdict_box",
    "what_was_run",
]

_MOST_MARGINS = 3
_WORDS = ("collapses", "undecided", "stable")
_PARTS = {"train": "training", "sample": "sampling", "measure": "measuring"}


def listed(lines: Iterable[str]) -> str:
    """Gives a list; lines are HTML."""
    return f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>"


def what_was_run(one: Comparison) -> str:
    """Gives one line: how many runs of what, on what."""
    seeds = {len(judged.condition.runs) for judged in one.all}
    control = f" and {len(one.controls)} control" if one.controls else ", no control"
    rounds = {len(own) for judged in one.all for _, own in judged.pairs}
    several = f"{min(rounds)} to " if len(rounds) > 1 else ""
    made = f"{_counted(len(one.runs), 'run')}: {_counted(len(one.judged), 'condition')}{control}"
    up_to = "up to " * (len(seeds) > 1)
    each = f"{up_to}{_counted(max(seeds), 'seed')} each"
    return escape(f"{made}, {each} · {several}{_counted(max(rounds), 'round')} · {one.title}")


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n > 1)}"


def looks_style(one: Comparison, scope: str) -> str:
    """Gives the style element with the conditions' colours, light and dark, within a scope."""
    looks = [judged.look for judged in one.all]
    light = "".join(f"--{look.key}:{look.light};" for look in looks)
    dark = "".join(f"--{look.key}:{look.dark};" for look in looks)
    keys = "".join(f"#{scope} .{look.key}{{color:var(--{look.key})}}" for look in looks)
    return (
        f"<style>#{scope}{{{light}}}@media(prefers-color-scheme:dark){{#{scope}{{{dark}}}}}"
        f"{keys}</style>"
    )


def verdict_box(one: Comparison) -> str:
    """Gives the verdicts, their rule, and what is missing."""
    words = {judged.verdict.word for judged in one.judged}
    worst = next(word for word in _WORDS if word in words)
    each: Iterable[str]
    if one.is_crowd:
        each = filter(None, (_intervals(one, word) for word in _WORDS))
    else:
        each = (f"{_named(judged)}: {escape(told(judged, one.headline))}" for judged in one.judged)
    margins = {f"{judged.verdict.margin:.3g}" for judged in one.judged} - {"nan"}
    margin = f": {', '.join(sorted(margins))}" if 0 < len(margins) <= _MOST_MARGINS else ""
    name = one.headline
    label = next((each.label for each in panels(one, "curves") if each.figure == name), name)
    chance = (
        f" Of {len(one.judged)} verdicts each is wrong by chance in up to 5 %, none corrected for "
        "the others."
        if len(one.judged) > 1
        else ""
    )
    lacks, notes = missing(one), beside(one)
    noted = f"<p>Beside the verdict:</p>{listed(map(escape, notes))}" if notes else ""
    noted += (
        f"<p>Missing:</p>{listed(map(escape, lacks))}" if lacks else "<p>Nothing is missing.</p>"
    )
    return (
        f'<div class="verdict {worst}"><p><b>{escape(closing(one))}</b></p>{listed(each)}</div>'
        f"<p class=mute>Rule, on {escape(one.headline)}, the {escape(label)}: {escape(RULE)}. The "
        f"margin is a quarter of the floor, the distance of held-out real rows{margin}. In "
        f"brackets: Student's 95 % interval over seeds.{chance}</p>{noted}"
    )


def _intervals(one: Comparison, word: str) -> str:
    """Names the conditions of a verdict, each with its excess; "" where there are none."""
    judged = [each for each in one.judged if each.verdict.word == word]
    if word == "undecided" and len(judged) > MOST_TOGETHER:
        return f"<b>{word}</b>: {len(judged)}, each with its excess in the table below"
    known = [f"{_named(each)}: {_spaced(str(each.verdict.excess or '–'))}" for each in judged]
    return f"<b>{word}</b>, excess: {'; '.join(known)}" if known else ""


def conditions_table(one: Comparison) -> str:
    """Gives a line a condition: verdict, first and last round, excess and rise."""
    name = one.headline
    head = ["condition", "verdict", "excess", "rise", f"{name}, round 0", "last round"]
    head += ["real rows", "seeds"]
    lines = []
    for judged in one.all:
        verdict, last = judged.verdict, judged.condition.rounds - 1
        word = f"<b>{verdict.word}</b>, {verdict.course}{_wanting(verdict)}"
        figures = [verdict.excess or "–", verdict.rise or "–"]
        figures += [at_round(judged, name, r) for r in (0, last)]
        cells = [_named(judged), "–" if judged in one.controls else word]
        cells += [_spaced(str(figure)) for figure in figures]
        lines.append([*cells, str(judged.condition.first[last]["n_real"]), _seeds(judged)])
    return table(head, lines) + (
        "<p class=mute>Excess: over the control, mean of the last third of the rounds. Rise: of "
        "the excess, over the last half; growing where its interval lies above 0, level where it "
        "lies within the margin of 0. Real rows: in the last round's training set. Intervals are "
        "symmetric: of few seeds they may pass what a distance can be.</p>"
    )


def _seeds(judged: Judged) -> str:
    """How many seeds the verdict rests on, and of how many."""
    runs, pairs = len(judged.condition.runs), judged.verdict.seeds
    return f"{pairs} paired of {runs}" if judged.control and pairs != runs else str(runs)


def _wanting(verdict: Verdict) -> str:
    """How many seeds would tell what these do not."""
    if verdict.word != "undecided" or verdict.excess is None:
        return ""
    return f"<br><span class=mute>{verdict.seeds_wanted} would tell</span>"


def table(head: Sequence[str], lines: Sequence[Sequence[str]], kind: str = "") -> str:
    """Gives a table that scrolls where it is wider than the screen; cells are HTML."""
    top = "".join(f"<th scope=col>{escape(cell)}</th>" for cell in head)
    body = "".join(
        f"<tr><th scope=row>{line[0]}</th>"
        + "".join(f"<td>{cell}</td>" for cell in line[1:])
        + "</tr>"
        for line in lines
    )
    return (
        f'<div class=wide tabindex=0><table class="{kind}"><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def figures_of(one: Comparison, *, legend: bool) -> dict[str, list[Drawn]]:
    """Draws the figures of every section that has any."""
    drawn = {
        section: [draw_panel(one, panel, legend=legend) for panel in panels(one, section)]
        for section in ("curves", "structure")
    }
    drawn["structure"] += draw_profiles(one, legend=legend)
    return drawn | {"dose": draw_doses(one, legend=legend)}


def figures_bar(one: Comparison) -> str:
    """Gives the switches of all figures of a comparison, which are their legend too."""
    boxes = "".join(
        f'<label><input type=checkbox checked data-toggle="{judged.look.key}">{_named(judged)}'
        "</label>"
        for judged in one.all
    )
    several = any(len(judged.condition.runs) > 1 for judged in one.all)
    band = " · band: lowest to highest seed" if several else ""
    band += " · thin: each seed" if several and not one.is_crowd else ""
    return (
        f"<div class=bar>{boxes}<span class=mute>thick: mean{band} · fine dots, without a marker: "
        "real rows · ✕: collapsed</span></div>"
    )


def plots(one: Comparison, drawn: Sequence[Drawn], prefix: str) -> str:
    """Gives figures side by side, each with its numbers for who points at it."""
    if not drawn:
        return "<p>Nothing was recorded of it, or no two conditions differ in it.</p>"
    colours = {judged.look.light: f"--{judged.look.key}" for judged in one.all}
    colours.pop(one.controls[0].look.light, None) if one.controls else None
    told = []
    for each in drawn:
        wide = float(each.figure.get_size_inches()[0]) > 5
        values = json.dumps(each.values, separators=(",", ":")).replace("<", "\\u003c")
        svg = inline_svg(each, f"{prefix}{each.name}", colours)
        told.append(
            f'<figure class="plot{" broad" * wide}" data-figure="{escape(each.name)}" '
            f'aria-label="{escape(each.told)}">{svg}<div class=tip role=status></div>'
            f"<figcaption>{escape(each.caption)}</figcaption>"
            f'<script type="application/json">{values}</script></figure>'
        )
    return f"<div class=plots>{''.join(told)}</div>"


def least_real_words(one: Comparison) -> str:
    """Says how few real rows prevent collapse, where conditions differ in them."""
    return "".join(
        f"<p>{escape(regime)}, least number m of real rows in every round. Free of an excess "
        f"above the margin: {escape(answer.free_words)}. Bounded: {escape(answer.bounded_words)}. "
        "<span class=mute>Unlike a line of the table, this takes the spread over seeds from all m "
        "together, and the excess never to rise with m: near the margin the two may "
        "differ.</span></p>"
        for regime, answer in least_real(one)
    )


def strips_of(strips: Strips) -> str:
    """Gives the samples as pictures."""
    why = f"<p class=mute>{escape('; '.join(strips.why))}.</p>" if strips.why else ""
    if not strips.strips:
        return f"<p>There are no sample rows here.</p>{why}"
    about = (
        f"<p class=mute>Seed {strips.replica.seed}: in the same round, what stands in one "
        "column was made of the same noise in every condition. Real rows are training rows.</p>"
        if not strips.points
        else f"<p class=mute>Seed {strips.replica.seed}, the first two axes.</p>"
    )
    cells, before = [], strips.strips[0].of
    for each in strips.strips:
        name, image = _strip_name(each), _image(each, strips.small)
        if not strips.points:
            cells.append(f"<div class=name>{name}</div>{image}")
            continue
        if each.of is not before:
            cells.append("<div class=break></div>")
        before = each.of
        cells.append(f"<figure>{image}<figcaption>{name}</figcaption></figure>")
    kind = "scatters" if strips.points else f"strips{' small-pixels' * strips.small}"
    return f'{about}<div class="{kind}">{"".join(cells)}</div>{why}'


def _strip_name(one: Strip) -> str:
    note = f"<br>{escape(one.note)}" if one.note else ""
    return "real rows" if one.of is None else f"{_named(one.of)}, round {one.round}{note}"


def _image(one: Strip, small: bool) -> str:
    kind, data = encode_picture(one.picture, small)
    said = "real rows" if one.of is None else f"samples of {one.of.label}, round {one.round}"
    height, width = one.picture.shape[:2]
    return (
        f'<img alt="{escape(said)}" width={width} height={height} '
        f'src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'
    )


def sampler_words(one: Comparison) -> str:
    """Says what the sampler alone does to the variance, in a round and in all of them."""
    rounds = min(judged.condition.rounds for judged in one.all)
    if (found := run_sampler(one.runs, rounds)) is None:
        return (
            "<p>Not told: there are no sample rows here, rows are too long, a guide made another "
            "denoiser of the network, or samples complete given rows; see "
            "<code>lightning-collapse control</code>.</p>"
        )
    alone, mixture = found
    mixed = (
        f" On a mixture of Gaussians, one for each of the rows' {mixture.groups}, it is {mixture} "
        "in one round (± one standard error)."
        if mixture
        else ""
    )
    seen = "; ".join(filter(None, map(_variance_kept, one.all)))
    return (
        "<p>With a perfect network, on a Gaussian of the real rows' covariance, the sampler "
        "(of the first of these runs whose rows are here) changes the total variance by "
        f"{alone[0]:+.2%} in one round, and by {alone[-1]:+.2%} in {rounds} rounds of nothing but "
        f"its own samples.{mixed}</p>"
        "<p>Total variance of the samples beside the real rows', round 0 and last round, in which "
        f"the network's own errors are too: {seen}.</p>"
    )


def _variance_kept(judged: Judged) -> str:
    r = judged.condition.rounds - 1
    first, last = course(judged.condition, "total_variance").mean[[0, r]]
    real = course(judged.condition, "real_total_variance").mean[0]
    known = np.isfinite([first, last, real]).all() and real
    return f"{_named(judged)} {first / real - 1:+.2%}, {last / real - 1:+.2%}" if known else ""


def cost_table(one: Comparison) -> str:
    """Gives the mean time of a run by what it went to, and where it ran."""
    lines = []
    for judged in one.all:
        records = judged.condition.records.values()
        times = [
            [sum(r.get(f"seconds_{part}") or 0 for r in own) for part in _PARTS] for own in records
        ]
        mean = np.mean(times, 0)
        devices = sorted({str(r.get("device")) for own in records for r in own})
        cells = [_time(seconds) for seconds in [*mean, mean.sum(), np.sum(times)]]
        lines.append([_named(judged), *cells, escape(", ".join(devices))])
    head = ["condition, mean of a run", *_PARTS.values(), "together", "all runs", "on"]
    return table(head, lines)


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 600 else f"{seconds / 3600:.2f} h"


def made_by(one: Comparison, commands: Mapping[Path, str]) -> str:
    """Gives versions, digests, and the commands that make the runs again."""
    lines, words = [], []
    for judged in one.all:
        for run, records in judged.pairs:
            first = records[0]
            versions = first.get("versions") or {}
            told = " ".join(f"{name} {version}" for name, version in versions.items())
            lines.append(
                [
                    escape(run.path.name),
                    _named(judged),
                    str(first["seed"]),
                    str(len(records)),
                    escape(str(first.get("config_sha256") or "–")[:12]),
                    escape(told),
                ]
            )
            config = run.config.path
            plain = f"{run.path.name}: a script's, without a configuration"
            if config.exists():
                named = shlex.quote(str(config))
                plain = f"lightning-collapse fit --config {named} --run NEW_FOLDER"
            words.append(commands.get(run.path.resolve()) or plain)
    head = ["run", "condition", "seed", "rounds", "configuration", "versions"]
    return table(head, lines, "small") + f"<pre tabindex=0>{escape(chr(10).join(words))}</pre>"


def _named(judged: Judged) -> str:
    look = judged.look
    return f'<span class="key {look.key}">{look.sample}</span>{escape(judged.label)}'


def _spaced(text: str) -> str:
    number, bracket, rest = text.partition(" [")
    return f"{number} <span class=ci>[{rest}</span>" if bracket else number
