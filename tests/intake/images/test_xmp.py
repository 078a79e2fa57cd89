"""The ways in which tools write a position into XMP."""

import pytest

from cspops.intake.images import exif, xmp

LAT, LON = 47 + 22.2 / 60, 8 + 32.4 / 60


def packet(attributes="", inside="", prefixes='xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:drone-dji="dji"'):
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {prefixes} {attributes}>{inside}</rdf:Description></rdf:RDF></x:xmpmeta>'
    ).encode()


def exif_(lat, lon, more=""):
    return packet(f'exif:GPSLatitude="{lat}" exif:GPSLongitude="{lon}" {more}')


def dji(lat, lon, second="GpsLongitude"):
    return packet(f'drone-dji:GpsLatitude="{lat}" drone-dji:{second}="{lon}"')


PLACE = [((LON, LAT), [])]
CASES = {
    "degrees and decimal minutes": (exif_("47,22.2N", "8,32.4E"), PLACE),
    "degrees, minutes, seconds": (exif_("47,22,12N", "8,32,24E"), PLACE),
    "south and west": (exif_("47,22.2S", "8,32.4W"), [((-LON, -LAT), [])]),
    "letters in lower case, blanks": (exif_(" 47, 22.2 n ", "8,32.4 e"), PLACE),
    "decimal degrees with letters": (exif_("47.37N", "8.54E"), PLACE),
    "decimal degrees with signs": (exif_("-47.37", "+8.54"), [((LON, -LAT), [])]),
    "decimal degrees, references apart": (exif_("47.37", "8.54", 'exif:GPSLongitudeRef="W"'), [((-LON, LAT), [])]),
    "elements": (
        packet(inside="<exif:GPSLatitude>47,22.2N</exif:GPSLatitude>\n<exif:GPSLongitude>\n8,32.4E\n</exif:GPSLongitude>"),
        PLACE,
    ),
    "a drone": (dji("+47.37", "+8.54"), PLACE),
    "a drone in the west": (dji("-47.37", "-8.54"), [((-LON, -LAT), [])]),
    "a drone that misspells": (dji("47.37", "8.54", "GpsLongtitude"), PLACE),
    "a drone, elements": (
        packet(inside="<drone-dji:GpsLatitude>+47.37</drone-dji:GpsLatitude><drone-dji:GpsLongitude>+8.54</drone-dji:GpsLongitude>"),
        PLACE,
    ),
    "no names for the prefixes": (
        packet('exif:GPSLatitude="47,22.2N" exif:GPSLongitude="8,32.4E"', prefixes=""),
        PLACE,
    ),
    "void": (exif_("47,22.2N", "8,32.4E", 'exif:GPSStatus="V"'), [((LON, LAT), [exif.NO_FIX])]),
    "another datum": (exif_("47,22.2N", "8,32.4E", 'exif:GPSMapDatum="TOKYO"'), [((LON, LAT), [exif.DATUM])]),
    "one of two": (packet('exif:GPSLatitude="47,22.2N"'), [(None, [exif.HALF])]),
    "a decimal comma": (exif_("47,37", "8,54"), [(None, [exif.NOT_DEGREES])]),
    "words": (exif_("north", "east"), [(None, [exif.NOT_DEGREES])]),
    "minutes above 60": (exif_("47,82.2N", "8,32.4E"), [(None, [exif.ABOVE_SIXTY])]),
    "empty": (exif_("", ""), [(None, [exif.NOT_DEGREES])]),
    "nothing of it": (packet('exif:ExifVersion="0230"'), []),
    "a place that is shown": (
        packet(inside="<Iptc:LocationShown><rdf:Bag><rdf:li><rdf:Description exif:GPSLatitude='1,2N' exif:GPSLongitude='3,4E'/>"
        "</rdf:li></rdf:Bag></Iptc:LocationShown>"),
        [],
    ),
    "padded": (exif_("47,22.2N", "8,32.4E") + b"\n" * 2000 + b"\0\0", PLACE),
    "cut": (exif_("47,22.2N", "8,32.4E")[:-30], PLACE),
    "cut inside an element": (
        packet(inside="<exif:GPSLatitude>47,22.2N</exif:GPSLatitude><exif:GPSLongitude>8,3"), [(None, [exif.HALF])]
    ),
    "no XML": (b"rubbish", []),
    "nothing": (b"", []),
    "entities": (b'<!DOCTYPE x [<!ENTITY a "47,22.2N">]>' + exif_("&a;", "8,32.4E"), []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_positions(case):
    data, expected = CASES[case]
    found = list(xmp.gps(data))
    assert [notes for _, notes in found] == [notes for _, notes in expected]
    for (lonlat, _), (right, _) in zip(found, expected, strict=True):
        # sums of two terms or one, each rounded
        assert lonlat == (right and pytest.approx(right, rel=0, abs=1e-13))
