// Streams: backpressure, heartbeats, clients that leave, drains.
#include "http/running_server.h"

namespace pippin::http {
namespace {

constexpr const char* kAsk = "GET /parked HTTP/1.1\r\nHost: localhost\r\n\r\n";

api::Response events() { return {200, "text/event-stream", "", {}}; }

struct Stream {
  explicit Stream(RunningServer& running, Client asker) : client(std::move(asker)) {
    client.send(kAsk);
    exchange = running.parked().take();
    EXPECT_NE(exchange, nullptr);
  }
  Client client;
  std::shared_ptr<api::Exchange> exchange;
};

TEST(Stream, SendsEventsAsTheyComeAndKeepsAlive) {
  RunningServer running;
  Stream stream(running, running.client());
  stream.exchange->start_stream(events());
  EXPECT_TRUE(stream.client.read_until("\r\n\r\n")) << "the head goes out before any event";
  EXPECT_TRUE(stream.exchange->write("data: 1\n\n"));
  EXPECT_TRUE(stream.client.read_until("data: 1\n\n"));
  EXPECT_TRUE(stream.exchange->write("data: 2\n\n"));
  stream.exchange->finish();
  const Reply reply = stream.client.reply();
  EXPECT_EQ(reply.body, "data: 1\n\ndata: 2\n\n");
  EXPECT_EQ(reply.headers.at("content-type"), "text/event-stream");
  EXPECT_EQ(reply.headers.at("cache-control"), "no-cache");
  EXPECT_TRUE(reply.complete);
  EXPECT_EQ(stream.client.get("/echo").status, 200);
}

TEST(Stream, ToHttp10EndsWithTheConnection) {
  RunningServer running;
  Client client = running.client();
  client.send("GET /parked HTTP/1.0\r\n\r\n");
  const auto exchange = running.parked().take();
  exchange->start_stream(events());
  exchange->write("data: 1\n\n");
  exchange->finish();
  const Reply reply = client.reply();
  EXPECT_EQ(reply.body, "data: 1\n\n");
  EXPECT_EQ(reply.headers.count("transfer-encoding"), 0u);
}

TEST(Stream, DroppedInTheMiddleIsVisiblyCut) {
  RunningServer running;
  Client client = running.client();
  const Reply reply = client.get("/cut");
  EXPECT_EQ(reply.status, 200);
  EXPECT_FALSE(reply.complete) << "no last chunk";
}

TEST(Stream, CoalescesWhatIsWrittenWhileTheSocketIsBusy) {
  RunningServer running;
  Stream stream(running, Client(running.port(), 4096));
  stream.exchange->start_stream(events());
  std::string sent;
  for (int i = 0; i < 20'000; ++i) {
    const std::string event = "data: " + std::to_string(i) + "\n\n";
    ASSERT_TRUE(stream.exchange->write(event));
    sent += event;
  }
  stream.exchange->finish();
  const Reply reply = stream.client.reply();
  EXPECT_EQ(reply.body, sent);
  EXPECT_LT(reply.chunks, 10'000u);
}

TEST(Stream, SlowReaderIsSeenInQueuedBytesAndDrainedWhenItReads) {
  RunningServer running;
  Stream stream(running, Client(running.port(), 4096));
  std::atomic<int> drained{0};
  stream.exchange->on_drained([&] { ++drained; });
  stream.exchange->start_stream(events());
  const std::string event(16 << 10, 'x');
  // Fill the kernel's buffers until bytes stay with us.
  EXPECT_TRUE(wait_for(
      [&] {
        if (stream.exchange->queued_bytes() > (1 << 20)) return true;
        EXPECT_TRUE(stream.exchange->write(event));
        return false;
      },
      Milliseconds(30'000)));
  const int before = drained;
  std::this_thread::sleep_for(Milliseconds(50));
  EXPECT_GT(stream.exchange->queued_bytes(), 1u << 20);
  EXPECT_EQ(drained, before);
  while (drained == before) ASSERT_TRUE(stream.client.fill());
  EXPECT_EQ(stream.exchange->queued_bytes(), 0u);
}

TEST(Stream, TooSlowReaderIsDropped) {
  Options options = test_options();
  options.stream_bytes_max = 256 << 10;
  RunningServer running(options);
  Stream stream(running, Client(running.port(), 4096));
  std::atomic<bool> left{false};
  stream.exchange->on_disconnect([&] { left = true; });
  stream.exchange->start_stream(events());
  const std::string event(16 << 10, 'x');
  size_t most = 0;
  EXPECT_TRUE(wait_for(
      [&] {
        most = std::max(most, stream.exchange->queued_bytes());
        return !stream.exchange->write(event);
      },
      Milliseconds(30'000)));
  EXPECT_LE(most, 256u << 10) << "memory stays bounded";
  EXPECT_TRUE(wait_for([&] { return left.load(); }));
  EXPECT_EQ(running.client().get("/echo").status, 200);
}

TEST(Stream, ReaderThatTakesNothingTimesOut) {
  Options options = test_options();
  options.write_timeout = Milliseconds(200);
  RunningServer running(options);
  Client client(running.port(), 4096);
  client.send(kAsk);
  const auto exchange = running.parked().take();
  exchange->respond({200, "text/plain", std::string(64 << 20, 'x'), {}});
  EXPECT_TRUE(wait_for([&] { return running.server().connections() == 0; }, Milliseconds(3000)));
}

TEST(Stream, HeartbeatsFillSilence) {
  Options options = test_options();
  options.heartbeat = Milliseconds(30);
  RunningServer running(options);
  Stream stream(running, running.client());
  stream.exchange->start_stream(events());
  EXPECT_TRUE(stream.client.read_until(": keep-alive\n\n"));
  stream.exchange->write("data: half");
  EXPECT_TRUE(stream.client.read_until("data: half"));
  std::this_thread::sleep_for(Milliseconds(120));
  stream.exchange->write(" and half\n\n");
  EXPECT_TRUE(stream.client.read_until(" and half\n\n"));
  stream.exchange->finish();
  const Reply reply = stream.client.reply();
  EXPECT_NE(reply.body.find("data: half and half\n\n"), std::string::npos)
      << "never inside an event";
  Stream own(running, running.client());
  api::Response head = events();
  head.heartbeat = "event: ping\ndata: {}\n\n";
  const auto silences = std::make_shared<std::atomic<int>>(0);
  own.exchange->on_heartbeat([silences] { ++*silences; });
  own.exchange->start_stream(std::move(head));
  EXPECT_TRUE(own.client.read_until("event: ping\ndata: {}\n\n")) << "the API's own words";
  EXPECT_TRUE(wait_for([&] { return *silences > 0; })) << "the handler may say more";
  own.exchange->finish();
  Stream plain(running, running.client());
  plain.exchange->start_stream({200, "application/x-ndjson", "", {}});
  std::this_thread::sleep_for(Milliseconds(120));
  plain.exchange->write("{}\n");
  plain.exchange->finish();
  EXPECT_EQ(plain.client.reply().body, "{}\n") << "comments belong to event streams alone";
}

// The three ways of leaving, before an answer and in the middle of a stream.
TEST(Stream, LeavingIsNoticedAtOnce) {
  RunningServer running;
  for (const bool started : {false, true}) {
    for (const int way : {0, 1, 2}) {
      Stream stream(running, running.client());
      std::atomic<bool> left{false};
      stream.exchange->on_disconnect([&] { left = true; });
      if (started) {
        stream.exchange->start_stream(events());
        stream.exchange->write("data: 1\n\n");
        EXPECT_TRUE(stream.client.read_until("data: 1\n\n"));
      }
      EXPECT_FALSE(left);
      const auto begin = Steady::now();
      way == 0   ? stream.client.close()
      : way == 1 ? stream.client.reset()
                 : stream.client.half_close();
      EXPECT_TRUE(wait_for([&] { return left.load(); }, Milliseconds(2000)));
      EXPECT_LT(Steady::now() - begin, Milliseconds(100));
      if (started) {
        EXPECT_FALSE(stream.exchange->write("data: 2\n\n"));
      }
    }
  }
  EXPECT_TRUE(wait_for([&] { return running.server().connections() == 0; }));
}

TEST(Stream, ReadyAnswerStillReachesAHalfClosedClient) {
  RunningServer running;
  Client client = running.client();
  client.send("GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n");
  client.half_close();
  EXPECT_EQ(client.reply().status, 200);
}

TEST(Stream, FiveHundredAtOnce) {
  RunningServer running;
  std::vector<Stream> streams;
  for (int i = 0; i < 500; ++i) streams.emplace_back(running, running.client());
  for (auto& stream : streams) stream.exchange->start_stream(events());
  for (int k = 0; k < 20; ++k)
    for (auto& stream : streams)
      EXPECT_TRUE(stream.exchange->write("data: " + std::to_string(k) + "\n\n"));
  std::string expected;
  for (int k = 0; k < 20; ++k) expected += "data: " + std::to_string(k) + "\n\n";
  for (auto& stream : streams) stream.exchange->finish();
  for (auto& stream : streams) EXPECT_EQ(stream.client.reply().body, expected);
}

TEST(Stream, CallsFromManyThreads) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([] {
      RunningServer running;
      for (int i = 0; i < 50; ++i) {
        Client client = running.client();
        client.send(kAsk);
        const auto exchange = running.parked().take();
        exchange->on_disconnect([] {});
        exchange->start_stream(events());
        std::thread writer([&exchange] {
          for (int k = 0; k < 20; ++k) exchange->write("data: x\n\n");
        });
        if (i % 3 == 0) client.reset();
        writer.join();
        exchange->finish();
      }
      EXPECT_EQ(running.client().get("/echo").status, 200);
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST(Stop, LetsRunningAnswersEndAndRefusesNewRequests) {
  RunningServer running;
  Client idle = running.client();
  EXPECT_EQ(idle.get("/echo").status, 200);
  Stream stream(running, running.client());
  stream.exchange->start_stream(events());
  std::thread stopper([&] { running.server().stop(Milliseconds(10'000)); });
  EXPECT_FALSE(idle.fill()) << "idle ones end at once";
  const Reply refused = running.client().get("/echo");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.headers.at("retry-after"), "1");
  EXPECT_EQ(refused.headers.at("connection"), "close");
  EXPECT_EQ(running.client().get("/health").status, 200) << "the handler's own answer";
  Client silent = running.client();  // holds up nothing
  EXPECT_TRUE(stream.exchange->write("data: last\n\n"));
  stream.exchange->finish();
  const Reply reply = stream.client.reply();
  EXPECT_TRUE(reply.complete);
  EXPECT_EQ(reply.body, "data: last\n\n");
  stream.client.close();
  stopper.join();
  EXPECT_FALSE(running.client().connected());
}

TEST(Stop, AnswersWhoHasConnectedButNotAskedYet) {
  RunningServer running;
  Client early = running.client();
  Client silent = running.client();
  ASSERT_TRUE(wait_for([&] { return running.server().connections() == 2; }));
  const auto begin = Steady::now();
  std::thread stopper([&] { running.server().stop(Milliseconds(10'000), {}, Milliseconds(500)); });
  EXPECT_TRUE(wait_for([&] { return running.client().get("/echo").status == 503; }));
  EXPECT_EQ(early.get("/health").status, 200) << "the handler's own answer";
  stopper.join();
  EXPECT_LT(Steady::now() - begin, Milliseconds(3000)) << "the silent one holds up nothing";
}

TEST(Stop, ListensForAsLongAsItIsTold) {
  RunningServer running;
  const auto begin = Steady::now();
  std::thread stopper([&] { running.server().stop(Milliseconds(10'000), {}, Milliseconds(300)); });
  EXPECT_TRUE(wait_for([&] { return running.client().get("/echo").status == 503; }));
  EXPECT_EQ(running.client().get("/health").status, 200);
  stopper.join();
  EXPECT_GE(Steady::now() - begin, Milliseconds(300));
  EXPECT_LT(Steady::now() - begin, Milliseconds(3000));
  EXPECT_FALSE(running.client().connected());
}

TEST(Stop, LetsAnswersThatAreEndedSaySo) {
  RunningServer running;
  Stream stream(running, running.client());
  stream.exchange->start_stream(events());
  running.server().stop(Milliseconds(50), [&] {
    EXPECT_TRUE(stream.exchange->write("data: the end\n\n"));
    stream.exchange->finish();
    stream.exchange.reset();
    std::thread([client = std::make_shared<Client>(std::move(stream.client))] {
      const Reply reply = client->reply();
      EXPECT_TRUE(reply.complete);
      EXPECT_EQ(reply.body, "data: the end\n\n");
    }).join();
  });
}

TEST(Stop, EndsWhatRunsPastTheDeadline) {
  RunningServer running;
  Stream stream(running, running.client());
  std::atomic<bool> left{false};
  stream.exchange->on_disconnect([&] { left = true; });
  stream.exchange->start_stream(events());
  const auto begin = Steady::now();
  running.server().stop(Milliseconds(100));
  EXPECT_LT(Steady::now() - begin, Milliseconds(2000));
  EXPECT_TRUE(left);
  EXPECT_FALSE(stream.exchange->write("data: x\n\n"));
  stream.exchange->finish();  // handles may outlive the server
}

}  // namespace
}  // namespace pippin::http
