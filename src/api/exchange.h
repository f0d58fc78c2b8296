// Request, Exchange, Router: HTTP as the APIs see it, without the HTTP library. http/ implements
// Exchange; tests use a fake.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/request_context.h"

namespace pippin::api {

/// A whole request, read within limits. Header names are lower case.
struct Request {
  std::string method;  // "GET"
  std::string path;    // decoded, without the query: "/v1/models/abc"
  std::string query;   // as sent
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string id;                          // x-request-id: the client's if it is sane, else ours
  std::vector<std::string> captures;       // what the route's {...} matched
  std::shared_ptr<RequestContext> caller;  // whose key came with it; null where none is asked for
  Rule rule = {};                          // of the route
  std::string work_owner;  // whose share of the workers it takes: a key's id, else an address

  /// Returns a header's value, or "" if absent. `name` in lower case.
  std::string_view header(std::string_view name) const {
    for (const auto& [key, value] : headers)
      if (key == name) return value;
    return {};
  }
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  /// What an event stream says when it has been silent for long; empty: a comment.
  std::string heartbeat = {};
};

/// One request and its answer: either respond() once, or start_stream(), write() any number of
/// times, finish(). Thread: any; calls may come from different threads, one at a time. Dropping the
/// last handle unanswered sends a 500.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const Request& request() const = 0;
  virtual void respond(Response response) = 0;
  /// Sends status and headers now; the body follows in chunks.
  virtual void start_stream(Response head) = 0;
  /// Queues bytes. Returns false if the client has gone (then nothing more needs to be written).
  virtual bool write(std::string_view bytes) = 0;
  /// Bytes queued and not yet taken by the socket. A writer that sees a lot waits for on_drained.
  virtual size_t queued_bytes() const = 0;
  virtual void finish() = 0;
  /// Sets a callback for the client's leaving before the answer's end; called at most once, at once
  /// if it has left already.
  virtual void on_disconnect(std::function<void()> callback) = 0;
  /// Sets a callback for "the queue has become empty".
  virtual void on_drained(std::function<void()> callback) = 0;
  /// Sets a callback for "this event stream has just needed its heartbeat". Some never do.
  virtual void on_heartbeat(std::function<void()> callback) { static_cast<void>(callback); }
  /// Takes so many bytes more of the memory that the bodies of all requests share, and of its
  /// owner's part of it, until what is returned goes. Null: there is not so much.
  virtual std::shared_ptr<void> reserve(size_t bytes) {
    static_cast<void>(bytes);
    return std::make_shared<char>();
  }
};

/// Called on the worker pool. May compute for milliseconds; must not wait for the engine.
using Handler = std::function<void(std::shared_ptr<Exchange>)>;

/// The table of routes, each with the rule by which requests are let in. A pattern's {name} matches
/// one path segment, {name...} the rest.
class Router {
 public:
  void add(std::string method, std::string pattern, Rule rule, Handler handler);
  struct Match {
    const Handler* handler =
        nullptr;  // null: no such path, or `allow` says which methods there are
    std::vector<std::string> captures;
    std::vector<std::string> allow;
    Rule rule = {};
  };
  Match find(std::string_view method, std::string_view path) const;

  struct Listed {
    std::string method, pattern;
    Rule rule;
  };
  /// Returns every route.
  std::vector<Listed> list() const;

 private:
  struct Route {
    std::string method;
    std::string pattern;
    std::vector<std::string> segments;
    Rule rule;
    Handler handler;
  };
  std::vector<Route> routes_;
};

}  // namespace pippin::api
