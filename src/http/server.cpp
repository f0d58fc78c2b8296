#include "http/server.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/guarded.h"
#include "base/log.h"
#include "http/connection.h"
#include "http/io_thread.h"

namespace pippin::http {
namespace {

// How long stop() waits for answers that it ends to send their last event.
constexpr Milliseconds kEndTimeout{3'000};

// Each connection is a file descriptor, and many systems begin at 1024 or (macOS) 256.
void raise_descriptor_limit(size_t connections_max) {
  constexpr rlim_t kOthers = 512;  // model files, logs, pipes
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted =
      std::min<rlim_t>(connections_max + connections_max / 4 + kOthers, limit.rlim_max);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
    log::warn("[http] could not raise the limit of open files to {}", wanted);
}

}  // namespace

struct Server::Impl {
  Shared shared;
  std::vector<std::unique_ptr<IoThread>> io_threads;
  std::optional<tcp::acceptor> acceptor;           // runs on io_threads[0]
  std::optional<asio::steady_timer> accept_retry;  // runs on io_threads[0]
  size_t next_io_thread = 0;
  uint16_t port = 0;
  bool running = false;

  Result<void> bind();
  void accept();
  void on_accept(boost::system::error_code ec, tcp::socket socket, IoThread& io_thread);
};

Result<void> Server::Impl::bind() {
  const Options& options = shared.options;
  const std::string place = fmt::format("{}:{}", options.host, options.port);
  boost::system::error_code ec;
  tcp::resolver resolver(io_threads[0]->context);
  const auto found = resolver.resolve(options.host, std::to_string(options.port),
                                      tcp::resolver::passive | tcp::resolver::numeric_service, ec);
  if (ec || found.empty())
    return fail(Code::kInvalidArgument,
                fmt::format("[http] expected an address or a host name, came {}: {}", options.host,
                            ec.message()),
                "host");
  tcp::endpoint endpoint = found.begin()->endpoint();
  for (const auto& entry : found)  // of a name with both kinds, IPv4: every client tries it
    if (entry.endpoint().address().is_v4()) endpoint = entry.endpoint();
  acceptor.emplace(io_threads[0]->context);
  acceptor->open(endpoint.protocol(), ec);
  if (!ec) acceptor->set_option(tcp::acceptor::reuse_address(true), ec);
  if (!ec && endpoint.address().is_v6() && endpoint.address().is_unspecified())
    acceptor->set_option(asio::ip::v6_only(false), ec);
  if (!ec) acceptor->bind(endpoint, ec);
  if (!ec) acceptor->listen(tcp::acceptor::max_listen_connections, ec);
  if (ec == asio::error::address_in_use)
    return fail(
        Code::kUnavailable,
        fmt::format(
            "[http] {} is already in use: another server runs there, or choose another port",
            place),
        "port");
  if (ec)
    return fail(Code::kUnavailable,
                fmt::format("[http] cannot listen on {}: {}", place, ec.message()), "host");
  port = acceptor->local_endpoint().port();
  return {};
}

void Server::Impl::accept() {
  IoThread& io_thread = *io_threads[next_io_thread++ % io_threads.size()];
  acceptor->async_accept(io_thread.context,
                         [this, &io_thread](boost::system::error_code ec, tcp::socket socket) {
                           on_accept(ec, std::move(socket), io_thread);
                         });
}

void Server::Impl::on_accept(boost::system::error_code ec, tcp::socket socket,
                             IoThread& io_thread) {
  if (shared.closing || ec == asio::error::operation_aborted) return;
  if (!ec) {
    asio::post(io_thread.context, [&io_thread, socket = std::move(socket)]() mutable {
      io_thread.admit(std::move(socket));
    });
    return accept();
  }
  if (ec == asio::error::connection_aborted) return accept();
  // Out of descriptors, most likely: connections that end make room.
  log::warn("[http] cannot accept a connection: {}", ec.message());
  accept_retry->expires_after(std::chrono::milliseconds(100));
  accept_retry->async_wait([this](boost::system::error_code aborted) {
    if (!aborted && !shared.closing) accept();
  });
}

Server::Server(Options options, api::Router router, WorkerPool& workers)
    : impl_(std::make_unique<Impl>()) {
  CHECK(options.io_threads >= 1);
  CHECK(options.error_form != nullptr);
  impl_->shared.bodies = std::make_shared<BodyBudget>(options.bodies_bytes_max);
  impl_->shared.options = std::move(options);
  impl_->shared.router = std::make_shared<const api::Router>(std::move(router));
  impl_->shared.workers = &workers;
}

Server::~Server() { stop(Milliseconds(0)); }

Result<void> Server::start() {
  CHECK(impl_->io_threads.empty(), "start() twice");
  const Options& options = impl_->shared.options;
  if (!options.tls_cert_path.empty() || !options.tls_key_path.empty()) {
    ASSIGN_OR_RETURN(impl_->shared.tls,
                     TlsContext::load(options.tls_cert_path, options.tls_key_path));
  }
  raise_descriptor_limit(options.connections_max);
  for (int i = 0; i < options.io_threads; ++i)
    impl_->io_threads.push_back(std::make_unique<IoThread>(impl_->shared));
  RETURN_IF_ERROR(impl_->bind());
  impl_->accept_retry.emplace(impl_->io_threads[0]->context);
  impl_->running = true;
  impl_->accept();
  for (auto& io_thread : impl_->io_threads) {
    io_thread->thread = Thread("[http]", [&io_thread = *io_thread] {
      // An exception of one connection ends that connection, not the thread.
      while (!guarded("[http]", [&io_thread] { io_thread.context.run(); }).ok()) {
      }
    });
  }
  return {};
}

uint16_t Server::bound_port() const { return impl_->port; }

size_t Server::connections() const { return impl_->shared.connections; }

void Server::stop(Milliseconds drain, const std::function<void()>& end_answers,
                  Milliseconds least) {
  Impl& impl = *impl_;
  if (!std::exchange(impl.running, false)) return;
  Shared& shared = impl.shared;
  const auto listens_until = std::chrono::steady_clock::now() + least;
  shared.draining = true;
  for (auto& io_thread : impl.io_threads)
    asio::post(io_thread->context, [&io_thread = *io_thread] { io_thread.drain(); });
  const auto ended_within = [&](Milliseconds limit) {
    std::unique_lock lock(shared.mutex);
    return shared.connection_ended.wait_for(lock, limit,
                                            [&] { return shared.connections == shared.late; });
  };
  if (!ended_within(drain) && end_answers) {
    static_cast<void>(guarded("[http]", end_answers));
    ended_within(kEndTimeout);
  }
  std::this_thread::sleep_until(listens_until);
  shared.closing = true;
  asio::post(impl.io_threads[0]->context, [&impl] {
    boost::system::error_code ignored;
    impl.acceptor->close(ignored);
    impl.accept_retry->cancel();
  });
  for (auto& io_thread : impl.io_threads) {
    asio::post(io_thread->context, [&io_thread = *io_thread] {
      io_thread.close_all();
      io_thread.work.reset();
    });
  }
  for (auto& io_thread : impl.io_threads) io_thread->thread.join();
}

}  // namespace pippin::http
