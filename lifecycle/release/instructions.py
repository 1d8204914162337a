"""What VERIFY.md says: how to check an exported release alone, with and without our program."""

from __future__ import annotations

from collections.abc import Sequence

from lifecycle.release.chain import Chain
from lifecycle.release.envelope import IN_TOTO
from lifecycle.release.roster import ROSTER, Roster

_TEXT = """\
# Verify this release

{name} {version} {build}. {marks}

The two digests below are worth what you know from elsewhere: whoever rewrites this folder can
rewrite this file too. Ask the laboratory for them, or read them where it keeps them (an annotated
git tag, the model registry, a letter), and compare.

- head, SHA-256 of the newest record: `{head}`
- fingerprint, SHA-256 of the first roster of signers: `{fingerprint}`

## With lifecycle

Neither network nor torch, MLflow or DVC is needed: the laboratory's package of `lifecycle`,
installed without its extras, is enough. In this folder:

```sh
lifecycle release verify {name} --head {head} --trust {fingerprint}
```

It checks every signature, the chain, the digest of every signed file, and computes every verdict
anew from the saved predictions. Exit 12 names the file that differs.

## What the signatures cover

{covered}

These are bound by the signed records: one changed bit is found by `verify`. Everything else here
is made from them for people and is **not signed**:

{extras}

## The files that are not signed

`SHA256SUMS` names every file of this folder but itself. Two commands find what was changed, taken
away or added, links and pipes too; they print nothing where all is well:

```sh
find . ! -type f ! -type d
find . -type f ! -path ./SHA256SUMS | LC_ALL=C sort | xargs -d '\\n' sha256sum | diff - SHA256SUMS
```

Who can change a file can also write its line anew: compare the SHA-256 of `SHA256SUMS` itself (of
the zip, where you have one) with what `lifecycle release export` printed to the laboratory. No
digest of this kind is a signature.

## Without lifecycle: openssl

A record is a DSSE envelope: Ed25519 over the pre-authentication encoding `DSSEv1 LENGTH TYPE
LENGTH PAYLOAD` (https://github.com/secure-systems-lab/dsse). Needed are sh, sed, base64 and
openssl 3. The keys stand in the rosters; compare those of the people you know. In this folder:

```sh
check() {{ # file, payload type, public key
  part() {{ sed "s/.*\\"$2\\":\\"\\([^\\"]*\\)\\".*/\\1/" "$1" | base64 -d; }}
  part "$1" payload > "$tmp/payload"
  part "$1" sig > "$tmp/sig"
  printf '%s' "$3" | base64 -d > "$tmp/key"
  {{ printf 'DSSEv1 %d %s %d ' "${{#2}}" "$2" "$(wc -c < "$tmp/payload")"
    cat "$tmp/payload"; }} > "$tmp/pae"
  openssl pkeyutl -verify -rawin -pubin -inkey "$tmp/key" -keyform DER \\
    -in "$tmp/pae" -sigfile "$tmp/sig" | sed "s|^|$1: |"
}}
tmp=$(mktemp -d)
{checks}
rm -r "$tmp"
```

Each line must end with `Signature Verified Successfully`. Then the chain: each payload (`sed
's/.*"payload":"\\([^"]*\\)".*/\\1/' FILE | base64 -d`) names as `previous` the SHA-256 of the
file before it, the newest file's is the head, and the first roster's is the fingerprint.
`subject` lists the files that are bound, with their SHA-256 (a name with `#` is one pin inside a
file, by its own digest).

## Signers

{signers}

## What is here and what is not

{notes}
"""


def instructions(
    chain: Chain, title: tuple[str, str, str], marks: str, extras: Sequence[str],
    notes: Sequence[str],
) -> str:  # fmt: skip
    """The text of VERIFY.md.

    Args:
        chain: verified, with at least one record.
        title: classifier, version, build.
        marks: what must be said first: simulated, withdrawn; "" for nothing.
        extras: names of files that no signature covers.
        notes: what is missing and why, a sentence each.
    """
    name, version, build = title
    return _TEXT.format(
        name=name,
        version=version,
        build=build,
        marks=marks,
        head=chain.head,
        fingerprint=chain.rosters[0].digest,
        covered=_listed(
            [f"`dossier/_signers/` and `dossier/{name}/`: rosters, records, cases, pins, builds",
             f"`weights/{name}/`: the weights of every build that a record names"]
        ),
        extras=_listed([f"`{one}`" for one in extras]),
        checks="\n".join([*_roster_checks(chain.rosters), *_record_checks(chain)]),
        signers=_listed(_signers(chain)),
        notes=_listed(notes),
    )  # fmt: skip


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _record_checks(chain: Chain) -> list[str]:
    return [
        _check(f"dossier/{chain.classifier}/releases/{link.path.name}", IN_TOTO,
               _public(chain.rosters, link.record.signature.keyid))
        for link in chain.links
    ]  # fmt: skip


def _roster_checks(rosters: Sequence[Roster]) -> list[str]:
    return [
        _check(f"dossier/_signers/{one.version:05d}.json", ROSTER, _public(rosters, one.signer))
        for one in rosters
    ]


def _check(file: str, kind: str, public: str) -> str:
    return f"check {file} {kind} {public}"


def _public(rosters: Sequence[Roster], signer: str) -> str:
    return next(person.public for one in rosters for person in one.people if person.keyid == signer)


def _signers(chain: Chain) -> list[str]:
    return [
        f"{link.path.name}: {link.record.signature.printed_name} "
        f"({link.record.signature.user_id}), {link.record.kind}, {link.record.signature.meaning}, "
        f"{link.record.signature.signed_at}, key {link.record.signature.keyid}"
        for link in chain.links
    ]
