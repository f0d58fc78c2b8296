// A plain blocking socket client for the server's tests: it can be as rude as a test needs.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace pippin::http {

struct Reply {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // chunks joined
  bool complete = false;                       // the body's end came as announced
  size_t chunks = 0;
};

class Client {
 public:
  explicit Client(uint16_t port, int receive_buffer_bytes = 0) {
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    if (receive_buffer_bytes > 0)
      setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    set_timeout(std::chrono::seconds(20));
  }
  ~Client() { close(); }
  Client(Client&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)),
        connected_(other.connected_),
        input_(std::move(other.input_)) {}
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }

  void set_timeout(std::chrono::milliseconds limit) {
    timeval value{limit.count() / 1000, (limit.count() % 1000) * 1000};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &value, sizeof value);
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &value, sizeof value);
  }

  /// Sends all bytes; false if the server has closed.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }

  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  /// Ends with RST instead of FIN.
  void reset() {
    linger hard{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close();
  }
  void half_close() { ::shutdown(fd_, SHUT_WR); }

  /// Reads at least one byte more into the buffer; false at the end, on an error and on a time-out.
  bool fill() {
    char block[16384];
    const ssize_t n = ::recv(fd_, block, sizeof block, 0);
    if (n > 0) input_.append(block, static_cast<size_t>(n));
    closed_cleanly_ = n == 0;
    return n > 0;
  }
  /// Whether the last failed fill() saw a FIN (and not a reset or a time-out).
  bool closed_cleanly() const { return closed_cleanly_; }

  /// Reads until `text` has come, and returns whether it has. What was read stays.
  bool read_until(std::string_view text) {
    while (input_.find(text) == std::string::npos)
      if (!fill()) return false;
    return true;
  }
  const std::string& input() const { return input_; }

  /// Reads one whole answer.
  Reply reply(bool to_head = false) {
    Reply reply;
    while (input_.find("\r\n\r\n") == std::string::npos)
      if (!fill()) return reply;
    read_head(reply);
    if (to_head || reply.status == 204 || reply.status == 100) {
      reply.complete = true;
    } else if (reply.headers.contains("transfer-encoding")) {
      read_chunks(reply);
    } else if (reply.headers.contains("content-length")) {
      const size_t size = std::stoul(reply.headers["content-length"]);
      while (input_.size() < size && fill()) {
      }
      reply.complete = input_.size() >= size;
      reply.body = input_.substr(0, size);
      input_.erase(0, size);
    } else {
      while (fill()) {
      }
      reply.complete = closed_cleanly_;
      reply.body = std::exchange(input_, {});
    }
    return reply;
  }

  Reply get(const std::string& target, const std::string& headers = "") {
    send("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n");
    return reply();
  }
  Reply post(const std::string& target, const std::string& body, const std::string& headers = "") {
    send("POST " + target + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n" + headers + "\r\n" + body);
    return reply();
  }

 private:
  void read_head(Reply& reply) {
    const size_t end = input_.find("\r\n\r\n");
    std::string head = input_.substr(0, end + 2);
    input_.erase(0, end + 4);
    reply.status = std::stoi(head.substr(9, 3));
    size_t at = head.find("\r\n") + 2;
    while (at < head.size()) {
      const size_t stop = head.find("\r\n", at);
      const size_t colon = head.find(": ", at);
      std::string name = head.substr(at, colon - at);
      for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
      reply.headers[name] = head.substr(colon + 2, stop - colon - 2);
      at = stop + 2;
    }
  }

  void read_chunks(Reply& reply) {
    while (true) {
      size_t line;
      while ((line = input_.find("\r\n")) == std::string::npos)
        if (!fill()) return;
      const size_t size = std::stoul(input_.substr(0, line), nullptr, 16);
      while (input_.size() < line + 2 + size + 2)
        if (!fill()) return;
      reply.body.append(input_, line + 2, size);
      input_.erase(0, line + 2 + size + 2);
      if (size == 0) {
        reply.complete = true;
        return;
      }
      ++reply.chunks;
    }
  }

  int fd_ = -1;
  bool connected_ = false;
  bool closed_cleanly_ = false;
  std::string input_;
};

}  // namespace pippin::http
