"""A certificate authority for a test, made on the spot with openssl(1)."""

import base64
import hashlib
import ssl
import subprocess

EC = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]

CONFIGURATION = """
[ca]
default_ca = test
[test]
database = index.txt
new_certs_dir = .
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
copy_extensions = copyall
[any]
commonName = supplied
"""


class Authority:
    """Certificates below one root, in a directory of their own."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir()
        (directory / "ca.cnf").write_text(CONFIGURATION)
        (directory / "index.txt").touch()
        self.root = directory / "ca.crt"
        self.openssl("req", "-x509", "-nodes", "-newkey", *EC, "-days", "3650",
                     "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", self.root)

    def openssl(self, *arguments):
        """Runs openssl(1) in the directory; returns what it prints."""
        run = subprocess.run(["openssl", *arguments], cwd=self.directory, check=True,
                             stdin=subprocess.DEVNULL, capture_output=True)
        return run.stdout

    def issue(self, name, alt_name, end="20491231000000Z"):
        """Makes a certificate and its key for `alt_name` (`DNS:...` or `IP:...`)."""
        key, request, certificate = (self.directory / f"{name}.{end}" for end in ("key", "csr", "crt"))
        self.openssl("req", "-new", "-nodes", "-newkey", *EC, "-subj", f"/CN={name}",
                     "-addext", f"subjectAltName = {alt_name}",
                     "-addext", "basicConstraints = CA:FALSE", "-keyout", key, "-out", request)
        self.openssl("ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", self.root,
                     "-keyfile", "ca.key", "-startdate", "20200101000000Z", "-enddate", end,
                     "-in", request, "-out", certificate)
        return certificate, key

    def keep(self, pair):
        """Packs a certificate and its key as PKCS #12, with the password `x`; returns the file."""
        certificate, key = pair
        store = self.directory / f"{certificate.stem}.p12"
        self.openssl("pkcs12", "-export", "-in", certificate, "-inkey", key, "-out", store,
                     "-passout", "pass:x")
        return store

    def introduce(self, pair, profile):
        """Has a profile of Firefox trust the root and show the certificate of this pair."""
        database = f"sql:{profile}"
        for command in (
            ["certutil", "-N", "-d", database, "--empty-password"],
            ["certutil", "-A", "-d", database, "-n", "root", "-t", "C,,", "-i", self.root],
            ["pk12util", "-i", self.keep(pair), "-d", database, "-W", "x"],
        ):
            subprocess.run(command, check=True, capture_output=True)
        setting = 'user_pref("security.default_personal_cert", "Select Automatically");\n'
        (profile / "user.js").write_text(setting)

    def key_hash(self):
        """The hash of the root's public key, as Chromium takes it."""
        pem = self.openssl("x509", "-in", self.root, "-noout", "-pubkey").decode()
        der = base64.b64decode("".join(pem.splitlines()[1:-1]))
        return base64.b64encode(hashlib.sha256(der).digest()).decode()

    def context(self, **identity):
        """For Python clients that trust the root."""
        context = ssl.create_default_context(cafile=self.root)
        if identity:
            context.load_cert_chain(**identity)
        return context


def section(*pairs, more=""):
    """The `tls` section for these pairs."""
    (certificate, key), *others = pairs
    text = f'tls = {{ crtfile = "{certificate}"; keyfile = "{key}"; {more} '
    if others:
        items = ", ".join(f'{{ crtfile = "{c}"; keyfile = "{k}"; }}' for c, k in others)
        text += f"certificates = ( {items} );"
    return text + " };"
