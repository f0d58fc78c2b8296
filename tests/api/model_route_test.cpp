// Requests that wait for their model: what their clients see meanwhile and at the end.
#include "api/shared/model_route.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "api/routes/harness.h"
#include "service/models/fake_loader.h"

namespace pippin::api {
namespace {

using service::testing_models::FakeLoader;
using service::testing_models::kModel;
using std::chrono::seconds;
using testing::FakeExchange;

Response json_error(const Error& error, const Request&) {
  const int status = error.code == Code::kTimeout      ? 504
                     : error.code == Code::kOverloaded ? 503
                                                       : 500;
  return {status, "application/json", "{\"error\":\"" + error.message + "\"}", {}};
}
Response field_error(const FieldError&, const Request&) { return {400, {}, {}, {}}; }

constexpr ApiFormat kComments{.error = json_error,
                              .field_error = field_error,
                              .body_error = json_error,
                              .error_event = "event: error\ndata: "};
constexpr ApiFormat kPings{.error = json_error,
                           .field_error = field_error,
                           .body_error = json_error,
                           .ping = "event: ping\ndata: {}\n\n",
                           .error_event = "event: error\ndata: "};

void answer_with_name(const ApiRequest& request) {
  if (request.body.empty()) return request.respond({200, "text/plain", request.model->id, {}});
  request.exchange->start_stream({200, "text/event-stream", {}, {}});
  request.exchange->write("data: " + request.model->id + "\n\n");
  request.exchange->finish();
}

class ModelRouteTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"a", "b"}) {
      service::ModelSpec spec;
      spec.load.id = name;
      ASSERT_TRUE(pool_.add(std::move(spec)).ok());
    }
    pool_.open();
    readiness_.set_ready();
  }
  void settle() {
    for (int i = 0; i < 1000 && pool_.work() == TimePoint(); ++i) {
    }
  }
  /// Sends a request that answers with its model's name; a stream has a head of its own.
  std::shared_ptr<FakeExchange> send(const std::string& name, bool events,
                                     const ApiFormat& format = kComments,
                                     std::optional<TimePoint> deadline = {}) {
    Request request;
    request.body = events ? R"({"stream":true})" : "{}";
    auto exchange = std::make_shared<FakeExchange>(std::move(request));
    const Handler handler = make_handler(
        context_,
        {format,
         [&](Exchange&, FieldReader&) { return ModelChoice{.name = name, .deadline = deadline}; },
         answer_with_name});
    handler(exchange);
    return exchange;
  }
  /// Takes the only place, until the lease goes.
  service::ModelLease hold(const std::string& name) {
    static_cast<void>(send(name, false));
    settle();
    service::ModelLease lease = pool_.lease(name).value();
    EXPECT_TRUE(becomes([&] { return pool_.look(name)->requests == 1; }));
    return lease;
  }
  bool becomes(const std::function<bool()>& condition) {
    for (int i = 0; i < 4000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }

  FakeLoader loader_;
  ManualClock clock_;
  service::ModelPool pool_{kModel, loader_, nullptr, clock_};
  service::Readiness readiness_;
  WorkerPool workers_{2, 64};
  Context context_{pool_, readiness_, workers_};
};

TEST_F(ModelRouteTest, GoesOnOnceTheModelIsLoaded) {
  const auto plain = send("a", false), stream = send("a", true);
  EXPECT_EQ(0, plain->answers());
  settle();
  ASSERT_TRUE(plain->wait());
  ASSERT_TRUE(stream->wait());
  EXPECT_EQ("a", plain->sent().body);
  EXPECT_EQ("data: a\n\n", stream->sent().body) << "no ping within the first second";
}

TEST_F(ModelRouteTest, ALargeBodyNeedsMemoryToBeRendered) {
  /// An exchange that has room for so many bytes, or none.
  class Full final : public Exchange {
   public:
    Full(size_t body_bytes, size_t room) : room_(room) {
      request_.body = "{}" + std::string(body_bytes - 2, ' ');
    }
    const Request& request() const override { return request_; }
    void respond(Response response) override { sent = std::move(response); }
    void start_stream(Response) override {}
    bool write(std::string_view) override { return true; }
    size_t queued_bytes() const override { return 0; }
    void finish() override {}
    void on_disconnect(std::function<void()>) override {}
    void on_drained(std::function<void()>) override {}
    std::shared_ptr<void> reserve(size_t bytes) override {
      if (bytes > room_) return nullptr;
      auto token = std::make_shared<int>(0);
      held = token;
      return token;
    }
    std::optional<Response> sent;
    std::weak_ptr<void> held;

   private:
    Request request_;
    const size_t room_;
  };
  const auto status_of = [this](size_t body_bytes, size_t room) {
    const auto exchange = std::make_shared<Full>(body_bytes, room);
    const Handler handler = make_handler(
        context_, {kComments, [](Exchange&, FieldReader&) { return ModelChoice{.name = "a"}; },
                   [&](const ApiRequest& request) {
                     EXPECT_EQ(exchange->held.expired(), body_bytes < WorkerPool::kLargeBytes);
                     request.respond(Response{});
                   }});
    handler(exchange);
    settle();
    for (int i = 0; i < 2000 && !exchange->sent; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_TRUE(exchange->held.expired()) << "it is held while the prompt is rendered, no longer";
    return exchange->sent ? exchange->sent->status : 0;
  };
  constexpr size_t kLarge = WorkerPool::kLargeBytes;
  EXPECT_EQ(status_of(100, 0), 200) << "a small one needs none; its model is loaded first";
  EXPECT_EQ(status_of(kLarge, 100 * kLarge), 200);
  EXPECT_EQ(status_of(kLarge, kLarge), 503);
}

TEST_F(ModelRouteTest, AStreamHearsThatTheServerLives) {
  auto held = std::make_unique<service::ModelLease>(hold("a"));
  const auto plain = send("b", false);
  const auto openai = send("b", true), anthropic = send("b", true, kPings);
  settle();
  clock_.advance(seconds(1));
  settle();
  clock_.advance(seconds(1));
  settle();
  EXPECT_EQ(200, openai->sent().status);
  held.reset();
  settle();
  for (const auto& exchange : {plain, openai, anthropic}) ASSERT_TRUE(exchange->wait());
  const std::string comment = ": the model is being loaded, 0 %\n\n";
  EXPECT_EQ("b", plain->sent().body);
  EXPECT_EQ(comment + comment + "data: b\n\n", openai->sent().body);
  EXPECT_EQ("event: ping\ndata: {}\n\nevent: ping\ndata: {}\n\ndata: b\n\n",
            anthropic->sent().body);
  EXPECT_EQ("event: ping\ndata: {}\n\n", anthropic->sent().heartbeat);
}

TEST_F(ModelRouteTest, AFailureHasAStatusOrIsTheLastEvent) {
  auto held = std::make_unique<service::ModelLease>(hold("a"));
  loader_.broken["b"] = "broken";
  const auto early = send("b", true);
  settle();
  clock_.advance(seconds(1));
  settle();
  const auto late = send("b", true);  // has not begun its stream
  held.reset();
  settle();
  ASSERT_TRUE(early->wait());
  ASSERT_TRUE(late->wait());
  EXPECT_EQ(200, early->sent().status);
  EXPECT_EQ(": the model is being loaded, 0 %\n\nevent: error\ndata: {\"error\":\"broken\"}\n\n",
            early->sent().body);
  EXPECT_EQ(500, late->sent().status);
  EXPECT_EQ("{\"error\":\"broken\"}", late->sent().body);
}

TEST_F(ModelRouteTest, AClientThatLeavesIsForgotten) {
  auto held = std::make_unique<service::ModelLease>(hold("a"));
  auto gone = send("b", true);
  settle();
  EXPECT_EQ(1, pool_.look("b")->waiting);
  gone->disconnect();
  EXPECT_EQ(0, pool_.look("b")->waiting);
  const std::weak_ptr<FakeExchange> kept = gone;
  gone.reset();
  EXPECT_TRUE(becomes([&] { return kept.expired(); })) << "somebody holds the exchange";
  held.reset();
  settle();
  EXPECT_EQ(1, loader_.device.loads) << "nobody wants b";
}

TEST_F(ModelRouteTest, TheRequestsOwnTimeEndsTheWait) {
  auto held = std::make_unique<service::ModelLease>(hold("a"));
  const auto hasty = send("b", false, kComments, clock_.now() + seconds(3));
  settle();
  clock_.advance(seconds(3));
  settle();
  ASSERT_TRUE(hasty->wait());
  EXPECT_EQ(504, hasty->sent().status);
}

}  // namespace
}  // namespace pippin::api
