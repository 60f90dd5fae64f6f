"""The builder: it refuses what breaks the template, and finds notebooks that are out of date."""

import hashlib
import re
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("jupytext")

from kerasae_lessons import profiles  # noqa: E402

FOLDER = Path(__file__).parents[2] / "tutorials"
sys.path.insert(0, str(FOLDER))
import build  # noqa: E402
import index  # noqa: E402
import lint  # noqa: E402

sys.path.remove(str(FOLDER))


def percent(**changes):
    """A lesson that follows the template; a keyword replaces text: `{old: new}`."""
    text = (
        """\
# %% [markdown]
# # 01 · Toy
#
# > One sentence.

# %% [markdown]
# ## Before you start
#
# **You will be able to** a. **Needs** b. **Reading** c, {{running}}. **Data** d. {{claims}}

# %% [markdown]
# ## Setup

# %% tags=["parameters"]
PROFILE = "full"  # which
SEED = 0  # of what

# %% [markdown]
# ## Predict first
# ## 1. A
# ## 2. B
# ## 3. C
# ## What is a good number?
# ## Pitfalls
# ### Pitfall: one
# ### Pitfall: two

# %%
learn.claim("C1.1", "a", 1, "==", 1)
learn.claim("C1.2", "b", 1, "==", 1)
learn.claim("C1.3", "c", 1, "==", 1)

# %% [markdown]
# ## Exercises
# ### Exercise 1.1: a (2 minutes)
# ### Exercise 1.2: b (10 minutes)
# ### Exercise 1.3: c (open)
"""
        + "".join(
            f'\n# %%{tags}\nlearn.exercise("1.{place}").check(None)\n'
            for place in (1, 2, 3)
            for tags in ("", ' tags=["solution"]')
        )
        + """
# %% [markdown]
# ## Three questions
# ## Summary
# ## Next
# ### References
"""
    )
    for old, new in changes.get("replace", {}).items():
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    ("replace", "said"),
    [
        ({}, ""),
        ({"# ## Setup": "# ## Set up"}, "has the sections"),
        ({"# ## 3. C\n": "# ## 4. C\n"}, "numbers its ideas"),
        ({"# ## 2. B\n# ## 3. C\n": ""}, "three to five ideas"),
        ({"# ### Pitfall: two\n": ""}, "two or three headings"),
        ({"# > One": "# One"}, "answers in one sentence"),
        ({"{{running}}": "4 s"}, "says {{running}}"),
        ({"SEED = 0  # of what": 'SEED = 0\nx = "https://example.org"'}, "names an address"),
        ({"SEED = 0  # of what": "SEED = 0\n" + "SEED = 1\n" * 25}, "lines, more than 25"),
        ({"# %%\nlearn.claim": "# %%\n%time\nlearn.claim"}, "uses a magic"),
        ({'"C1.3"': '"C1.4"'}, "states each of its claims once"),
        ({'"C1.3"': '"C1.2"'}, "states each of its claims once"),
        ({"# ### Exercise 1.2: b (10 minutes)\n": ""}, "has three headings"),
        (
            {' tags=["solution"]\nlearn.exercise("1.2")': '\nlearn.exercise("1.2")'},
            "checks exercise 1.2",
        ),
        (
            {"# ### Pitfall: two\n": "# ### Pitfall: two\n#\n# **Museum.** A book.\n"},
            "in '# catches it'. Received: 'one' and 0 lines",
        ),
        ({"# ## Summary\n": "# ## Summary\n# PROFILE == 'full'\n"}, "never asks for PROFILE"),
    ],
)
def test_the_template_is_held(tmp_path, replace, said):
    source = tmp_path / f"01_{hashlib.sha256(repr(replace).encode()).hexdigest()[:8]}.py"
    source.write_text(percent(replace=replace))
    found = lint.problems(source, "01")
    assert (not found) if not said else any(said in sentence for sentence in found), found


def output(**parts):
    return nbformat.v4.new_output("display_data", **parts)


def notebook_of(*outputs):
    cell = nbformat.v4.new_code_cell("1")
    cell.outputs = list(outputs)
    return nbformat.v4.new_notebook(cells=[cell])


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ([nbformat.v4.new_output("stream", name="stderr", text="Warning: x")], "standard error"),
        ([output(data={"image/png": "a"})], "no text alternative"),
        ([output(data={"image/png": "a"}, metadata={"alt": "b"})] * 2, "2 figures"),
    ],
)
def test_outputs_that_no_reader_should_get_are_refused(tmp_path, outputs, said):
    source = tmp_path / "01_toy.py"
    source.write_text("# %%\n1\n")
    with pytest.raises(build.BuildError, match=said):
        build.inspect(notebook_of(*outputs), [], source, "full")


def test_a_text_alternative_goes_where_the_site_reads_it(tmp_path):
    source = tmp_path / "01_toy.py"
    source.write_text("# %%\n1\n")
    notebook = notebook_of(output(data={"image/png": "a"}, metadata={"alt": "a curve to 3"}))
    build.inspect(notebook, [], source, "full")
    assert notebook.cells[0].metadata["mystnb"]["image"]["alt"] == "a curve to 3"


def test_claims_left_out_or_of_another_profile_are_refused(tmp_path):
    source = tmp_path / "01_toy.py"
    source.write_text('# %%\nlearn.claim("C1.1", "a", 1, "==", 1)\n')
    with pytest.raises(build.BuildError, match=r"states \['C1.1'\]"):
        build.inspect(notebook_of(), [], source, "full")
    with pytest.raises(build.BuildError, match="the data of the full profile are not here"):
        build.inspect(notebook_of(), [{"id": "C1.1", "profile": "smoke"}], source, "full")


@pytest.fixture
def lesson(tmp_path, monkeypatch):
    """A folder of lessons with one of two parameters, built into a notebook by hand."""
    (tmp_path / "src").mkdir()
    source = tmp_path / "src" / "01_toy.py"
    source.write_text(percent())
    (tmp_path / "lessons").mkdir()
    profile = "limit_s = 9\nparameters = { SEED = 0 }\nbounds = {}\n"
    (tmp_path / "lessons" / "lesson_01.toml").write_text(f"[full]\n{profile}[smoke]\n{profile}")
    monkeypatch.setattr(build, "HERE", tmp_path)
    monkeypatch.setattr(profiles, "__file__", str(tmp_path / "profiles.py"))
    monkeypatch.setattr(profiles, "_FOLDER", tmp_path / "lessons")
    profiles.read.cache_clear()
    yield source
    profiles.read.cache_clear()


def write_notebook(source):
    notebook = build.assemble(source, "full")
    notebook.metadata["kerasae"] = {
        "sha256": build.fingerprint(source),
        "profile": "full",
        "claims": [],
        "versions": {},
        "run": {"seconds": 4, "date": "2026-01-01"},
    }
    (build.HERE / "01_toy.ipynb").write_text(nbformat.writes(notebook))
    index.write(build.HERE)


def test_an_edited_source_makes_its_notebook_stale(lesson):
    write_notebook(lesson)
    assert build.check() == []
    text = lesson.read_text()
    lesson.write_text(text.replace("> One sentence.", "> Another sentence."))
    lint.read.cache_clear()
    assert any("01_toy.ipynb is older than" in sentence for sentence in build.check())
    lesson.write_text(text)
    assert build.check() == []


def test_an_edited_bound_makes_its_notebook_stale(lesson):
    write_notebook(lesson)
    file = build.HERE / "lessons" / "lesson_01.toml"
    file.write_text(file.read_text().replace("limit_s = 9", "limit_s = 8"))
    assert any("01_toy.ipynb is older than" in sentence for sentence in build.check())


def test_a_source_that_is_edited_while_it_runs_is_refused(lesson, monkeypatch):
    def edit(*_):
        lesson.write_text(lesson.read_text().replace("One sentence", "Another"))
        return 1.0

    monkeypatch.setattr(build, "inspect", lambda *_: None)
    monkeypatch.setattr(build.notebooks, "execute", lambda *_: 1.0)
    found = build.run(lesson, "full").metadata["kerasae"]["sha256"]
    assert found == build.fingerprint(lesson)
    monkeypatch.setattr(build.notebooks, "execute", edit)
    with pytest.raises(build.BuildError, match="edited while it ran"):
        build.run(lesson, "full")


def test_an_edited_index_and_a_notebook_without_source_are_found(lesson):
    write_notebook(lesson)
    (build.HERE / "CLAIMS.md").write_text("We claim more.")
    (build.HERE / "02_lost.ipynb").write_text("{}")
    found = " ".join(build.check())
    assert "CLAIMS.md is older than the notebooks" in found
    assert "02_lost.ipynb has no source" in found


def test_the_same_source_gives_the_same_notebook_with_folded_solutions(lesson):
    first, second = build.assemble(lesson, "full"), build.assemble(lesson, "full")
    assert nbformat.writes(first) == nbformat.writes(second)
    ids = [cell.id for cell in first.cells]
    assert len(set(ids)) == len(ids)
    folded = [cell for cell in first.cells if "solution" in cell.metadata.get("tags", ())]
    assert len(folded) == 3
    assert all(cell.cell_type == "markdown" for cell in folded)
    assert all(cell.source.startswith("<details>") for cell in folded)


def test_a_misspelt_parameter_is_refused(lesson):
    with pytest.raises(ValueError, match=r"has the parameters SEED\. Received: \['SEDE'\]"):
        build.assemble(lesson, "full", SEDE=1)
    file = build.HERE / "lessons" / "lesson_01.toml"
    file.write_text(file.read_text().replace("SEED", "SEDE"))
    profiles.read.cache_clear()
    with pytest.raises(ValueError, match="The parameters cell sets PROFILE, SEED"):
        build.assemble(lesson, "full")


def test_seeds_propose_a_bound(lesson, capsys):
    entry = {"id": "C1.1", "op": "<", "bound": 5.0, "kind": "measured"}
    index.record(build.HERE, "01", "smoke", {"C1.1": [1.0, 2.0, 3.0]}, {"C1.1": entry})
    # worst 3, standard deviation 1
    line = capsys.readouterr().out.splitlines()[1].split()
    assert line == ["C1.1", "measured", "<", "5", "2", "1", "3", "5", "0", "of", "3"]


def test_published_mistakes_are_collected_with_the_line_that_catches_them(lesson):
    pitfalls = "# ### Pitfall: one\n# ### Pitfall: two\n\n# %%\n"
    text = lesson.read_text()
    assert pitfalls in text
    lesson.write_text(
        text.replace(
            pitfalls,
            """\
# ### Pitfall: one

# %% [markdown]
# ### Pitfall: two
#
# Symptom: none.
#
# **Museum.** A book
# says so.
#
# Not the story.

# %%
size = 3
print(size)  # catches it
""",
        )
    )
    lint.read.cache_clear()
    write_notebook(lesson)
    assert build.check() == []
    page = (build.HERE / "MUSEUM.md").read_text()
    assert "\n1 mistakes that stand" in page
    assert page.endswith("""
## Two

A book says so.

```python
print(size)
```

Reproduced and caught in [01 · Toy](01_toy.ipynb).
""")


def test_the_index_says_how_long_and_which(lesson):
    write_notebook(lesson)
    text = (build.HERE / "README.md").read_text()
    assert re.search(r"\| 01 \| \[Toy\]\(01_toy.ipynb\) \| One sentence\. \| 5 s \|", text)
    assert index.duration(200) == "3.3 min"
