// TlsContext: a server's certificate. TlsStream: TLS over a non-blocking socket, without waiting:
// who calls waits for the socket. Owner: the server; the connection. Thread: a stream is one I/O
// thread's.
#pragma once

#include <openssl/ssl.h>

#include <boost/system/error_code.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"

namespace pippin::http {

class TlsContext {
 public:
  /// Reads a certificate chain and its private key, both PEM. TLS 1.2 and later, without
  /// renegotiation.
  /// Errors: kInvalidFile, naming the file and what is wrong with it.
  static Result<std::shared_ptr<const TlsContext>> load(const std::string& certificate_path,
                                                        const std::string& key_path);
  SSL_CTX* handle() const { return context_.get(); }

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  std::unique_ptr<SSL_CTX, Free> context_;
};

class TlsStream {
 public:
  /// What has to happen before a call is tried again.
  enum class Wants : uint8_t { kNothing, kRead, kWrite };
  struct Moved {
    size_t bytes = 0;  // 0 with Wants::kNothing and no error: the peer has ended
    Wants wants = Wants::kNothing;
    boost::system::error_code error;
  };

  /// Requires: `context` outlives the stream; `socket` is open, non-blocking, and somebody else's.
  TlsStream(const TlsContext& context, int socket);

  /// The handshake is done by the first reads.
  Moved read(void* bytes, size_t size);
  /// Requires: size > 0. What was not taken may be given again from another place.
  Moved write(const void* bytes, size_t size);
  /// Whether decrypted bytes lie here, of which the socket does not tell. A record that has come in
  /// part is not readable: only the socket tells of its rest.
  bool pending() const { return SSL_pending(ssl_.get()) > 0; }
  bool handshake_done() const { return SSL_is_init_finished(ssl_.get()) == 1; }
  /// Tells the peer that nothing follows, so that it knows an end from a cut. Never waits.
  void end();

 private:
  struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  Moved moved(int result) const;

  std::unique_ptr<SSL, Free> ssl_;
};

}  // namespace pippin::http
