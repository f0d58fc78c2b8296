// Any bytes to a server, in pieces: what comes back are HTTP answers, the connection ends once the
// client has nothing more to say, and others are answered meanwhile. The first byte tells the cuts.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/log.h"
#include "http/server.h"
#include "target.h"

namespace {

using namespace pippin;

constexpr int kAnswerMs = 10'000;
constexpr int kProbeEvery = 128;  // inputs

api::Router routes() {
  using Exchange = std::shared_ptr<api::Exchange>;
  api::Router router;
  const auto echo = [](const Exchange& e) {
    e->respond({200, "text/plain", e->request().path + "\n" + e->request().body, {}});
  };
  for (const char* method : {"GET", "POST", "PUT", "DELETE"}) {
    router.add(method, "/echo", {}, echo);
    router.add(method, "/echo/{rest...}", {}, echo);
  }
  router.add("GET", "/stream", {}, [](const Exchange& e) {
    e->start_stream({200, "text/event-stream", "", {}});
    for (int i = 0; i < 3; ++i) e->write("data: 1\n\n");
    e->finish();
  });
  router.add("GET", "/dropped", {}, [](const Exchange&) {});
  router.add("GET", "/health", {}, [](const Exchange& e) {
    e->respond({200, "text/plain", "fine", {}});
  });
  return router;
}

http::Server& server() {
  static http::Server& running = []() -> http::Server& {
    spdlog::set_level(spdlog::level::off);
    http::Options options;
    options.port = 0;
    options.header_bytes_max = 4096;
    options.body_bytes_max = 8192;
    options.bodies_bytes_max = 32768;
    options.error_form = [](std::string_view, int status, const Error& error) {
      return api::Response{status, "text/plain", error.message, {}};
    };
    auto* workers = new WorkerPool(2, 1024);  // both live as long as the process
    auto* made = new http::Server(std::move(options), routes(), *workers);
    if (!made->start().ok()) std::abort();
    return *made;
  }();
  return running;
}

[[noreturn]] void wrong(const char* what, std::string_view got) {
  std::fprintf(stderr, "%s: %.*s\n", what, static_cast<int>(std::min<size_t>(got.size(), 2000)),
               got.data());
  std::abort();
}

int connect_to_server() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(server().bound_port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // From addresses by turns: a connection that has ended keeps its port for a minute.
  static uint32_t connections = 0;
  sockaddr_in from{};
  from.sin_family = AF_INET;
  from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + connections++ % 250);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&from), sizeof from) != 0) wrong("no free port", "");
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    wrong("the server takes no connection", "");
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

/// Sends the pieces, then nothing more, and returns all that comes.
std::string talk(std::string_view bytes, size_t cut) {
  const int fd = connect_to_server();
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), std::min(cut, bytes.size()), MSG_NOSIGNAL);
    if (sent <= 0) break;  // the server has refused and gone
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  ::shutdown(fd, SHUT_WR);
  std::string got;
  for (char part[4096];;) {
    // Twice: a machine that stood still may wake this thread before the server's.
    pollfd readable{fd, POLLIN, 0};
    if (::poll(&readable, 1, kAnswerMs) <= 0 && ::poll(&readable, 1, kAnswerMs) <= 0)
      wrong("the connection does not end", got);
    const ssize_t read = ::recv(fd, part, sizeof part, 0);
    if (read <= 0) break;
    got.append(part, static_cast<size_t>(read));
  }
  ::close(fd);
  return got;
}

}  // namespace

void pippin::fuzz::one_input(std::string_view input) {
  if (input.empty()) return;
  static int inputs = 0;
  const size_t cut = byte_at(input, 0) == 0 ? input.size() : byte_at(input, 0);
  const std::string got = talk(input.substr(1), std::max<size_t>(cut, 1));
  if (!got.empty() && !got.starts_with("HTTP/1.")) wrong("no HTTP", got);
  if (++inputs % kProbeEvery == 0) {
    const std::string probe = talk("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 4096);
    if (!probe.starts_with("HTTP/1.1 200")) wrong("no health", probe);
  }
}
