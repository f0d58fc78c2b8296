// Bytes into the server's TLS state machine: as they are; or those of a real client, handshake and
// request, with bytes of them changed. No call waits, none gives more than was asked for, and a
// record that has come in part is not readable.
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "http/tls.h"
#include "target.h"

namespace {

using pippin::http::TlsContext;
using pippin::http::TlsStream;

constexpr int kRoundsMax = 12;  // a handshake takes three

void write_certificate(const std::string& certificate_path, const std::string& key_path) {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  X509* const certificate = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
  X509_set_pubkey(certificate, key);
  X509_sign(certificate, key, EVP_sha256());
  FILE* file = std::fopen(certificate_path.c_str(), "w");
  PEM_write_X509(file, certificate);
  std::fclose(file);
  file = std::fopen(key_path.c_str(), "w");
  PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

const TlsContext& context() {
  static const std::shared_ptr<const TlsContext> made = [] {
    ::signal(SIGPIPE, SIG_IGN);  // as the program does
    const std::string path = "/tmp/pippin-tls-fuzz-" + std::to_string(getpid());
    write_certificate(path + ".crt", path + ".key");
    auto loaded = TlsContext::load(path + ".crt", path + ".key");
    ::unlink((path + ".crt").c_str());
    ::unlink((path + ".key").c_str());
    if (!loaded.ok()) std::abort();
    return *loaded;
  }();
  return *made;
}

/// A socket to the server's side, and that side.
struct Sockets {
  Sockets() {
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0) std::abort();
  }
  ~Sockets() {
    for (const int end : ends)
      if (end >= 0) ::close(end);
  }
  void send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(ends[0], bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }
  std::string receive() const {
    std::string got;
    char part[4096];
    for (ssize_t read = 0; (read = ::recv(ends[0], part, sizeof part, 0)) > 0;)
      got.append(part, static_cast<size_t>(read));
    return got;
  }
  int ends[2];
};

/// Reads what there is and answers it. Returns false once the stream has ended.
bool serve(TlsStream& stream) {
  char part[512];
  for (int reads = 0; reads < 64; ++reads) {
    const TlsStream::Moved moved = stream.read(part, sizeof part);
    if (moved.bytes > sizeof part) std::abort();
    if (moved.error || (moved.bytes == 0 && moved.wants == TlsStream::Wants::kNothing))
      return false;
    if (moved.bytes == 0) {
      // It waits for the socket: then nothing decrypted may lie here, or nobody would read it.
      if (stream.pending()) std::abort();
      return true;
    }
    const TlsStream::Moved written = stream.write(part, moved.bytes);
    if (written.bytes > moved.bytes) std::abort();
    if (written.error) return false;
  }
  return true;
}

/// A real client over memory.
struct RealClient {
  RealClient() : context(SSL_CTX_new(TLS_client_method())), ssl(SSL_new(context)) {
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl);
  }
  ~RealClient() {
    SSL_free(ssl);
    SSL_CTX_free(context);
  }
  /// Takes the server's bytes and returns its own next ones.
  std::string next(std::string_view from_server) {
    BIO_write(SSL_get_rbio(ssl), from_server.data(), static_cast<int>(from_server.size()));
    if (SSL_do_handshake(ssl) == 1) {
      char part[512];
      while (SSL_read(ssl, part, sizeof part) > 0) {
      }
      SSL_write(ssl, "GET / HTTP/1.1\r\n", 16);
    }
    std::string bytes;
    char part[4096];
    for (int read = 0; (read = BIO_read(SSL_get_wbio(ssl), part, sizeof part)) > 0;)
      bytes.append(part, static_cast<size_t>(read));
    return bytes;
  }
  SSL_CTX* context;
  SSL* ssl;
};

/// Changes bytes of one flight: by triples of the flight's number, a place in it, and what is
/// changed.
void change(std::string& flight, int number, std::string_view changes) {
  for (; changes.size() >= 4; changes.remove_prefix(4)) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(changes[i]); };
    if (byte(0) % kRoundsMax != number || flight.empty()) continue;
    const size_t at = (byte(1) << 8 | byte(2)) % flight.size();
    flight[at] = static_cast<char>(flight[at] ^ byte(3));
    if (byte(0) >= 128) flight.resize(at);  // and cut there
  }
}

}  // namespace

void pippin::fuzz::one_input(std::string_view input) {
  if (input.empty()) return;
  const std::string_view bytes = input.substr(1);
  Sockets sockets;
  TlsStream stream(context(), sockets.ends[1]);
  if (byte_at(input, 0) % 2 == 0) {
    const size_t cut = 1 + byte_at(input, 0);
    for (size_t at = 0; at < bytes.size(); at += cut) {
      sockets.send(bytes.substr(at, cut));
      if (!serve(stream)) return;
    }
  } else {
    RealClient client;
    for (int round = 0; round < kRoundsMax; ++round) {
      std::string flight = client.next(sockets.receive());
      change(flight, round, bytes);
      sockets.send(flight);
      if (!serve(stream)) return;
    }
  }
  ::close(sockets.ends[0]);
  sockets.ends[0] = -1;
  serve(stream);
  stream.end();
}
