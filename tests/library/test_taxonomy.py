"""Taxonomies from tables and from names, sums over taxa, and the answer that is sure enough."""

import pytest
import torch

from cspops.errors import DataError, ParamsError
from cspops.library.taxonomy import RollUp, Taxonomy, read_taxonomy, taxonomy_of_paths

BIRDS = ["Bubo bubo", "Bubo scandiacus", "Strix aluco", "Pica pica"]
PARENTS = """class,parent
Bubo bubo,Bubo
Bubo scandiacus,Bubo
Strix aluco,Strigidae
Pica pica,Aves
Bubo,Strigidae
Strigidae,Aves
Aves,
"""
RANKS = """class,order,family,genus
Bubo bubo,Strigiformes,Strigidae,Bubo
bubo scandiacus,Strigiformes,Strigidae,Bubo
Strix aluco,Strigiformes,Strigidae,Strix
Pica pica,Passeriformes,,Pica
"""
P = torch.tensor(
    [[0.5, 0.4, 0.05, 0.05], [0.4, 0.1, 0.35, 0.15], [0.3, 0.2, 0.1, 0.4], [0.9, 0.05, 0.03, 0.02]], dtype=torch.float64
)


def lineages(taxonomy: Taxonomy) -> list[list[str]]:
    return [[taxonomy.names[number] for number in chain if number >= 0] for chain in taxonomy.chain.tolist()]


def write(folder, text, name="birds.csv"):
    (folder / name).write_text(text)
    return folder / name


def test_parents_and_ranks_and_paths_give_the_same_lineages(tmp_path):
    owl = [["Bubo bubo", "Bubo", "Strigidae"], ["Bubo scandiacus", "Bubo", "Strigidae"]]
    found = lineages(read_taxonomy(write(tmp_path, PARENTS), BIRDS))
    assert found == [[*one, "Aves"] for one in [*owl, ["Strix aluco", "Strigidae"], ["Pica pica"]]]
    found = lineages(read_taxonomy(write(tmp_path, RANKS), BIRDS))
    owls = [[*one, "Strigiformes"] for one in [*owl, ["Strix aluco", "Strix", "Strigidae"]]]
    assert found == [*owls, ["Pica pica", "Pica", "Passeriformes"]]
    turned = "\n".join(",".join([first, *rest[::-1]]) for first, *rest in (line.split(",") for line in RANKS.splitlines()))
    assert lineages(read_taxonomy(write(tmp_path, turned), BIRDS)) == found
    paths = ["Aves/Strigidae/Bubo bubo", "Aves/Strigidae/Strix aluco", "Aves / Pica pica", "moth"]
    assert lineages(taxonomy_of_paths(paths)) == [
        ["Aves/Strigidae/Bubo bubo", "Aves/Strigidae", "Aves"],
        ["Aves/Strigidae/Strix aluco", "Aves/Strigidae", "Aves"],
        ["Aves/Pica pica", "Aves"],
        ["moth"],
    ]


@pytest.mark.parametrize("name", ["class", "label", "species", "scientificName"])
def test_the_column_of_the_classes_is_found_by_its_name_or_by_what_it_names(tmp_path, name):
    expected = lineages(read_taxonomy(write(tmp_path, RANKS), BIRDS))
    assert lineages(read_taxonomy(write(tmp_path, RANKS.replace("class", name, 1)), BIRDS)) == expected
    ranked = "kingdom,class,order,family,genus,species\n" + "".join(
        f"Animalia,Aves,{','.join(rest)},{first}\n" for first, *rest in (line.split(",") for line in RANKS.splitlines()[1:])
    )
    found = lineages(read_taxonomy(write(tmp_path, ranked), BIRDS))
    assert found == [[*one, "Aves", "Animalia"] for one in expected]


def test_a_name_on_two_ranks_is_two_taxa(tmp_path):
    text = "class,family,genus\na,Pica,Pica\nb,Pica,Other\n"
    taxonomy = read_taxonomy(write(tmp_path, text), ["a", "b"])
    assert lineages(taxonomy) == [["a", "Pica", "Pica"], ["b", "Other", "Pica"]]
    assert taxonomy.roll_up(torch.tensor([[0.6, 0.4]]), 0.9).steps.tolist() == [2]


@pytest.mark.parametrize("least", [0.3, 0.5, 0.7, 0.9, 0.95, 1.0])
def test_the_answer_is_the_lowest_taxon_above_the_best_class_that_is_sure(tmp_path, least):
    taxonomy = read_taxonomy(write(tmp_path, PARENTS), BIRDS)
    every, answers = lineages(taxonomy), taxonomy.roll_up(P, least)
    for row, p in enumerate(P.tolist()):
        expected = None
        for steps, taxon in enumerate(every[p.index(max(p))]):
            total = sum(value for value, lineage in zip(p, every, strict=True) if taxon in lineage)
            if total >= least - 1e-9:
                expected = taxon, total, steps
                break
        assert expected is not None  # all birds are Aves
        found = taxonomy.names[answers.taxon[row]], float(answers.p[row]), int(answers.steps[row])
        assert found == (expected[0], pytest.approx(expected[1]), expected[2])


def test_no_answer_where_no_taxon_above_the_best_class_is_sure(tmp_path):
    taxonomy = read_taxonomy(write(tmp_path, RANKS), BIRDS)
    nan = torch.full((1, 4), torch.nan, dtype=torch.float64)
    answers = taxonomy.roll_up(torch.cat((P[2:3], nan)), 0.8)
    assert answers.taxon.tolist() == answers.steps.tolist() == [-1, -1] and answers.p.isnan().all()
    assert taxonomy.holds(answers.taxon, torch.tensor([3, 3])).tolist() == [False, False]


def test_an_answer_is_right_where_the_label_lies_in_it(tmp_path):
    taxonomy = read_taxonomy(write(tmp_path, PARENTS), BIRDS)
    family = taxonomy.names.index("Strigidae")
    assert taxonomy.holds(torch.full((4,), family), torch.arange(4)).tolist() == [True, True, True, False]


def test_a_class_that_others_lie_in_counts_them(tmp_path):
    text = "class,parent\nCanis,\nCanis lupus,Canis\n"
    taxonomy = read_taxonomy(write(tmp_path, text), ["Canis lupus", "Canis"])
    answers = taxonomy.roll_up(torch.tensor([[0.4, 0.6]]), 0.9)
    assert (taxonomy.names[answers.taxon[0]], float(answers.p[0]), int(answers.steps[0])) == ("Canis", pytest.approx(1.0), 0)


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        (PARENTS.replace("Aves,\n", "Aves,Bubo\n"), "a circle of parents: 'Bubo' in 'Strigidae' in 'Aves' in 'Bubo'", "empty"),
        (PARENTS.replace("Aves,\n", "Aves,Aves\n"), "line 8: a circle of parents: 'Aves' in 'Aves'", "empty parent"),
        (PARENTS + "moths,flies\nflies,moths\n", "line 9: a circle of parents: 'moths' in 'flies' in 'moths'", "empty"),
        (PARENTS.replace("Aves,\n", ""), "line 5: the parent 'Aves' of 'Pica pica' has no row of its own", "add the row Aves"),
        (PARENTS.replace("aluco,Strigidae", "aluco,Strigidea"), "line 4: the parent 'Strigidea'", "did you mean 'Strigidae'"),
        (PARENTS + "Bubo buboo,Bubo\n", "line 9: the model has no class 'Bubo buboo'", "did you mean 'Bubo bubo'"),
        (PARENTS.replace("Pica pica,Aves\n", ""), "has no row for the class 'Pica pica'", "a row for each taxon"),
        (PARENTS + "Bubo,Aves\n", "line 9: 'Bubo' lies in 'Aves' here and in 'Strigidae' in line 6", "one parent"),
        (PARENTS + ",Aves\n", "line 9 names no class", "a row for each taxon"),
        (RANKS + "Pica pca,,,\n", "line 6: the model has no class 'Pica pca'", "did you mean 'Pica pica'"),
        (RANKS.replace("Strix aluco", ""), "line 4: the cell of the class is empty", "its classes are"),
        (
            RANKS.replace("scandiacus,Strigiformes", "scandiacus,Owls").replace("aluco,Strigiformes", "aluco,Hawks"),
            "line 3: family 'Strigidae' lies in 'Owls' here and in 'Strigiformes' in line 2",
            "from coarse to fine",
        ),
        ("class\nBubo bubo\n", "has no column parent and no ranks", "a row for each taxon"),
        ("bird,parent\nBubo bubo,\n", "has no column class", "rename one to class"),
        (PARENTS + "Bubo,Strigidae,more\n", "line 9: the row has more fields than the header", "correct it"),
    ],
)  # fmt: skip
def test_a_table_that_is_wrong_is_refused_by_file_and_line(tmp_path, text, says, hint):
    with pytest.raises(DataError, match=says) as caught:
        read_taxonomy(write(tmp_path, text), BIRDS)
    assert "birds.csv" in caught.value.message and "\n" not in caught.value.message and hint in str(caught.value.hint)


@pytest.mark.parametrize("least", [0.0, -1.0, 1.5, float("nan")])
def test_what_is_no_probability_is_refused(least):
    with pytest.raises(ParamsError, match="is no probability"):
        RollUp.of(["a/b"], least, None)


def test_plain_names_need_a_table(tmp_path):
    with pytest.raises(ParamsError, match="needs --taxonomy FILE: no class is named like a path"):
        RollUp.of(BIRDS, 0.8, None)
    with pytest.raises(DataError, match="there is no such file"):
        RollUp.of(BIRDS, 0.8, tmp_path / "none.csv")
