// Clients that are broken, slow, greedy or malicious. After each, the server still answers.
#include <random>

#include "http/running_server.h"

namespace pippin::http {
namespace {

std::string request(const std::string& headers, const std::string& line = "POST /echo HTTP/1.1") {
  return line + "\r\nHost: localhost\r\n" + headers + "\r\n";
}

TEST(Hostile, BrokenRequestLines) {
  RunningServer running;
  const std::pair<const char*, int> cases[] = {
      {"\x16\x03\x01\x02\r\n\r\n", 400},
      {"GET\r\n\r\n", 400},
      {"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"GET /echo HTTP/2.0\r\n\r\n", 505},
      {"GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"GET /a%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"GET echo HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"GET /echo HTTP/1.1\r\nHost localhost\r\n\r\n", 400},
      {"GET /echo HTTP/1.1\r\n folded\r\n\r\n", 400},
      {"CONNECT a:1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
  };
  for (const auto& [text, status] : cases) {
    Client client = running.client();
    client.send(text);
    const Reply reply = client.reply();
    EXPECT_EQ(reply.status, status) << text;
    EXPECT_TRUE(reply.complete);
    EXPECT_FALSE(reply.body.empty());
  }
  EXPECT_EQ(running.client().get("/echo").status, 200);
}

TEST(Hostile, BodiesThatCouldSmuggleRequests) {
  RunningServer running;
  const std::pair<std::string, int> cases[] = {
      {"Content-Length: 3\r\nContent-Length: 4\r\n", 400},
      {"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400},
      {"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", 400},
      {"Transfer-Encoding: gzip, chunked\r\n", 501},
      {"Content-Length: -1\r\n", 400},
      {"Content-Length: 99999999999999999999999\r\n", 400},
      {"Content-Length: 3\r\nContent-Encoding: gzip\r\n", 415},
  };
  for (const auto& [headers, status] : cases) {
    Client client = running.client();
    client.send(request(headers) + "abc");
    EXPECT_EQ(client.reply().status, status) << headers;
    EXPECT_FALSE(client.fill()) << "the connection ends";
  }
  Client chunks = running.client();
  chunks.send(request("Transfer-Encoding: chunked\r\n") + "zz\r\nabc\r\n");
  EXPECT_EQ(chunks.reply().status, 400);
}

TEST(Hostile, HeaderBombAndLongPath) {
  RunningServer running;
  Client bomb = running.client();
  std::string headers;
  for (int i = 0; i < 5000; ++i)
    headers += "x-" + std::to_string(i) + ": " + std::string(50, 'a') + "\r\n";
  bomb.send("GET /echo HTTP/1.1\r\nHost: localhost\r\n" + headers);
  const Reply reply = bomb.reply();
  EXPECT_EQ(reply.status, 431);
  EXPECT_NE(reply.body.find("16384"), std::string::npos) << "the limit is named";
  Client path = running.client();
  path.send("GET /" + std::string(100'000, 'a') + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(path.reply().status, 414);
  Client fits = running.client();
  EXPECT_EQ(fits.get("/" + std::string(10'000, 'a')).status, 404);
}

TEST(Hostile, HugeBodyIsRefusedBeforeItIsSent) {
  RunningServer running;
  Client client = running.client();
  client.send(request("Content-Length: 104857600\r\n"));
  const Reply reply = client.reply();
  EXPECT_EQ(reply.status, 413);
  EXPECT_NE(reply.body.find("33554432"), std::string::npos) << "the limit is named";
}

TEST(Hostile, HugeBodyThatIsSentAnywayStillSeesThe413) {
  RunningServer running;
  for (const bool chunked : {false, true}) {
    Client client = running.client();
    client.send(
        request(chunked ? "Transfer-Encoding: chunked\r\n" : "Content-Length: 104857600\r\n"));
    const std::string block(1 << 20, 'x');
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(client.send(chunked ? "100000\r\n" + block + "\r\n" : block)) << i;
    }
    const Reply reply = client.reply();
    EXPECT_EQ(reply.status, 413);
    EXPECT_EQ(reply.headers.at("connection"), "close");
    client.close();
    EXPECT_TRUE(wait_for([&] { return running.server().connections() == 0; }));
  }
}

TEST(Hostile, ChunkLinesAndTrailersAreHeldToTheHeadsLimit) {
  RunningServer running;
  const std::string chunked = request("Transfer-Encoding: chunked\r\n", "POST /size HTTP/1.1");
  const auto status_of = [&](const std::string& start, const std::string& more,
                             const std::string& end) {
    Client client = running.client();
    client.send(chunked + start);
    for (int i = 0; i < 100 && client.send(more); ++i) {
    }
    client.send(end);
    return client.reply().status;
  };
  const std::string text(1000, 'x');
  EXPECT_EQ(status_of("1;a=", text, "\r\na\r\n0\r\n\r\n"), 413) << "one endless line";
  EXPECT_EQ(status_of("", "1;a=" + text + "\r\na\r\n", "0\r\n\r\n"), 413) << "many long ones";
  EXPECT_EQ(status_of("0\r\n", "t: " + text + "\r\n", "\r\n"), 413) << "trailers";
  EXPECT_EQ(status_of("0\r\n", "t: " + text, "\r\n\r\n"), 413) << "one endless trailer";
  EXPECT_EQ(status_of("", "1\r\na\r\n", "0\r\n\r\n"), 200) << "small chunks are no crime";
  EXPECT_EQ(status_of("", "00001;a=b\r\na\r\n", "0\r\nt: x\r\n\r\n"), 200)
      << "nor are a few bytes more";
  Client both = running.client();
  both.send(chunked + "1\r\na\r\n0\r\nt: x\r\n\r\nGET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(both.reply().body, "1");
  EXPECT_EQ(both.reply().status, 200) << "the next request is not part of the body";
}

TEST(Hostile, AllBodiesTogetherAreBounded) {
  Options options = test_options();
  options.bodies_bytes_max = 120'000;  // of which one client may have 90,000
  RunningServer running(options);
  Client first = running.client();
  first.send("POST /parked HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n" +
             std::string(60'000, 'x'));
  auto exchange = running.parked().take();
  ASSERT_NE(exchange, nullptr);
  EXPECT_EQ(running.client().post("/size", std::string(60'000, 'x')).status, 503);
  EXPECT_EQ(running.client().post("/size", std::string(30'000, 'x')).body, "30000");
  exchange->respond({});
  exchange.reset();
  EXPECT_EQ(first.reply().status, 200);
  EXPECT_EQ(running.client().post("/size", std::string(60'000, 'x')).body, "60000");
}

TEST(Hostile, WhatAHandlerTakesMoreIsBoundedAlike) {
  Options options = test_options();
  options.bodies_bytes_max = 120'000;  // of which one client may have 90,000
  RunningServer running(options);
  Client first = running.client();
  first.send("POST /parked HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n" +
             std::string(1000, 'x'));
  auto exchange = running.parked().take();
  ASSERT_NE(exchange, nullptr);
  EXPECT_EQ(exchange->reserve(90'000), nullptr) << "with its body that is more than its part";
  std::shared_ptr<void> taken = exchange->reserve(80'000);
  ASSERT_NE(taken, nullptr);
  EXPECT_EQ(exchange->reserve(10'000), nullptr);
  EXPECT_EQ(running.client().post("/size", std::string(30'000, 'x')).status, 503);
  taken.reset();
  EXPECT_EQ(running.client().post("/size", std::string(30'000, 'x')).body, "30000");
  exchange->respond({});
  exchange.reset();
  EXPECT_EQ(first.reply().status, 200);
}

TEST(Hostile, SlowSenders) {
  Options options = test_options();
  options.header_timeout = Milliseconds(200);
  options.body_timeout = Milliseconds(200);
  RunningServer running(options);
  const auto drip = [&](const std::string& start) {
    Client client = running.client();
    client.send(start);
    client.set_timeout(Milliseconds(20));
    const auto begin = Steady::now();
    while (client.input().find("\r\n\r\n") == std::string::npos &&
           Steady::now() - begin < Milliseconds(5000)) {
      client.send("a");
      client.fill();
    }
    EXPECT_LT(Steady::now() - begin, Milliseconds(2000));
    return client.reply().status;
  };
  EXPECT_EQ(drip("GET /echo HTTP/1.1\r\nHost: localhost\r\nx: "), 408);
  EXPECT_EQ(drip(request("Content-Length: 100000\r\n")), 408);
  Client idle = running.client();
  EXPECT_EQ(idle.get("/echo").status, 200);
}

TEST(Hostile, IdleConnectionsEnd) {
  Options options = test_options();
  options.idle_timeout = Milliseconds(100);
  RunningServer running(options);
  Client client = running.client();
  EXPECT_EQ(client.get("/echo").status, 200);
  EXPECT_FALSE(client.fill());
  EXPECT_TRUE(client.closed_cleanly());
}

// The I/O thread stands still for longer than a connection may be idle, as in a process that was
// stopped for a while together with its clients.
TEST(Hostile, AServerThatStoodStillHearsWhoAsksThen) {
  Options options = test_options();
  options.idle_timeout = Milliseconds(300);
  RunningServer running(options);
  Client busy = running.client();
  busy.send("GET /parked HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto exchange = running.parked().take();
  ASSERT_NE(exchange, nullptr);
  Client idle = running.client();
  ASSERT_EQ(idle.get("/echo").status, 200);
  std::atomic<bool> stood_still{false};
  exchange->start_stream({200, "text/event-stream", "", {}});
  exchange->on_drained([&] {
    if (!stood_still) std::this_thread::sleep_for(Milliseconds(1600));
    stood_still = true;
  });
  EXPECT_TRUE(exchange->write("data: 1\n\n"));
  ASSERT_TRUE(wait_for([&] { return stood_still.load(); }));
  std::this_thread::sleep_for(Milliseconds(100));
  EXPECT_EQ(idle.get("/echo").status, 200);
  exchange->finish();
}

TEST(Hostile, OpenSocketsThatAskNothingKeepNobodyOut) {
  Options options = test_options();
  options.connections_max = 20;
  RunningServer running(options);
  std::vector<Client> silent;
  for (int i = 0; i < 100; ++i) {
    silent.push_back(running.client());
    silent.back().send(i % 2 ? "GET /echo HT" : "");
  }
  for (int i = 0; i < 30; ++i) EXPECT_EQ(running.client().get("/echo").status, 200);
  EXPECT_LE(running.server().connections(), 20u);
}

TEST(Hostile, RefusedClientsThatGoOnSendingKeepNobodyOut) {
  Options options = test_options();
  options.connections_max = 20;
  RunningServer running(options);
  std::vector<Client> rude;
  for (int i = 0; i < 20; ++i) {
    rude.push_back(running.client());
    rude.back().send("no request\r\n\r\n");
    EXPECT_EQ(rude.back().reply().status, 400);
    EXPECT_TRUE(rude.back().send("x"));
  }
  for (int i = 0; i < 10; ++i) {
    Client polite = running.client();
    EXPECT_EQ(polite.get("/echo").status, 200) << i;
  }
}

TEST(Hostile, RefusedClientsAreHeardForAShortTimeOnly) {
  Options options = test_options();
  options.linger_timeout = Milliseconds(50);
  RunningServer running(options);
  Client rude = running.client();
  rude.send("no request\r\n\r\n");
  EXPECT_EQ(rude.reply().status, 400);
  const auto begin = Steady::now();
  while (rude.send("x") && Steady::now() - begin < Milliseconds(5000))
    std::this_thread::sleep_for(Milliseconds(5));
  EXPECT_LT(Steady::now() - begin, Milliseconds(400));
}

TEST(Hostile, ConnectionsBeyondTheLimitGet503WhileAllWork) {
  Options options = test_options();
  options.connections_max = 4;
  RunningServer running(options);
  std::vector<Client> busy;
  std::vector<std::shared_ptr<api::Exchange>> exchanges;
  for (int i = 0; i < 4; ++i) {
    busy.push_back(running.client());
    busy.back().send("GET /parked HTTP/1.1\r\nHost: localhost\r\n\r\n");
    exchanges.push_back(running.parked().take());
    ASSERT_NE(exchanges.back(), nullptr);
  }
  const Reply refused = running.client().get("/echo");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.headers.at("retry-after"), "1");
  for (auto& exchange : exchanges) exchange->respond({200, "text/plain", "done", {}});
  for (Client& client : busy) EXPECT_EQ(client.reply().body, "done");
  EXPECT_EQ(running.client().get("/echo").status, 200);
}

TEST(Hostile, FullWorkerPoolIs503) {
  Options options = test_options();
  std::mutex gate;
  WorkerPool workers(1, 1);
  api::Router router;
  std::atomic<int> begun{0};
  router.add("GET", "/slow", {}, [&](const std::shared_ptr<api::Exchange>& e) {
    ++begun;
    const std::lock_guard wait(gate);
    e->respond({200, "text/plain", "slow", {}});
  });
  Server server(options, std::move(router), workers);
  ASSERT_TRUE(server.start().ok());
  std::vector<Client> clients;
  for (int i = 0; i < 2; ++i) clients.emplace_back(server.bound_port());
  gate.lock();
  clients[0].send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(wait_for([&] { return begun == 1; }));
  clients[1].send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(wait_for([&] { return workers.queued() == 1; }));
  Client third(server.bound_port());
  EXPECT_EQ(third.get("/slow").status, 503);
  gate.unlock();
  EXPECT_EQ(clients[0].reply().body, "slow");
  EXPECT_EQ(clients[1].reply().body, "slow");
  EXPECT_EQ(third.get("/slow").body, "slow") << "the refused one may ask again on its connection";
}

// A server of one worker, which is busy until the gate opens.
class BusyServer {
 public:
  explicit BusyServer(size_t jobs_max)
      : workers_(1, jobs_max), server_(test_options(), routes(), workers_) {
    EXPECT_TRUE(server_.start().ok());
    gate_.lock();
    first_.emplace(server_.bound_port());
    first_->send(kSlow);
    EXPECT_TRUE(wait_for([&] { return begun_ == 1; }));
  }
  ~BusyServer() { open(); }

  static constexpr std::string_view kSlow = "GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n";
  void open() {
    if (std::exchange(open_, true)) return;
    gate_.unlock();
    EXPECT_EQ(first_->reply().body, "slow");
  }
  int begun() const { return begun_; }
  size_t queued() const { return workers_.queued(); }
  Client client() const { return Client(server_.bound_port()); }

 private:
  api::Router routes() {
    api::Router router;
    router.add("GET", "/slow", {}, [this](const std::shared_ptr<api::Exchange>& e) {
      ++begun_;
      const std::lock_guard wait(gate_);
      e->respond({200, "text/plain", "slow", {}});
    });
    for (const char* path : {"/health", "/metrics"})
      router.add("GET", path, {}, [](const std::shared_ptr<api::Exchange>& e) {
        e->respond({200, "text/plain", "fine", {}});
      });
    return router;
  }

  std::mutex gate_;
  std::atomic<int> begun_{0};
  bool open_ = false;
  WorkerPool workers_;
  Server server_;
  std::optional<Client> first_;
};

TEST(Hostile, AClientThatLeavesLeavesTheQueue) {
  BusyServer busy(1);
  for (int i = 0; i < 3; ++i) {
    Client leaver = busy.client();
    leaver.send(BusyServer::kSlow);
    ASSERT_TRUE(wait_for([&] { return busy.queued() == 1; }));
    EXPECT_EQ(busy.client().get("/slow").status, 503);
    i == 0 ? leaver.half_close() : i == 1 ? leaver.close() : leaver.reset();
    EXPECT_TRUE(wait_for([&] { return busy.queued() == 0; })) << i;
  }
  Client stayer = busy.client();
  stayer.send(BusyServer::kSlow);
  ASSERT_TRUE(wait_for([&] { return busy.queued() == 1; }));
  busy.open();
  EXPECT_EQ(stayer.reply().body, "slow");
  EXPECT_EQ(busy.begun(), 2) << "nothing is worked on for those that left";
}

TEST(Hostile, ProbesWaitForNoWork) {
  BusyServer busy(1);
  Client waits = busy.client();
  waits.send(BusyServer::kSlow);
  ASSERT_TRUE(wait_for([&] { return busy.queued() == 1; }));
  EXPECT_EQ(busy.client().get("/slow").status, 503);
  EXPECT_EQ(busy.client().get("/health").body, "fine");
  EXPECT_EQ(busy.client().get("/metrics").body, "fine");
  busy.open();
  EXPECT_EQ(waits.reply().body, "slow");
}

TEST(Hostile, RandomBytes) {
  Options options = test_options();
  options.header_timeout = Milliseconds(50);
  options.linger_timeout = Milliseconds(50);
  RunningServer running(options);
  std::mt19937 random(7);
  const std::string seed = request("Content-Length: 3\r\nOrigin: http://localhost\r\n") + "abc";
  for (int i = 0; i < 300; ++i) {
    std::string bytes = seed;
    if (i % 3 == 0) bytes.assign(random() % 400, ' ');
    for (size_t k = 0; k < (i % 3 == 0 ? bytes.size() : 1 + random() % 4); ++k)
      bytes[i % 3 == 0 ? k : random() % bytes.size()] = static_cast<char>(random());
    Client client = running.client();
    client.send(bytes);
    if (i % 2) client.half_close();
    if (i % 5 == 0) client.reset();
  }
  EXPECT_EQ(running.client().get("/echo").status, 200);
  EXPECT_TRUE(wait_for([&] { return running.server().connections() == 0; }));
}

TEST(Hostile, ClientsThatLeaveWhileSending) {
  RunningServer running;
  for (const char* part :
       {"", "GET", "GET /echo HTTP/1.1\r\nHost: loc",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nab"}) {
    Client polite = running.client();
    polite.send(part);
    polite.half_close();
    EXPECT_FALSE(polite.fill());
    Client rude = running.client();
    rude.send(part);
    rude.reset();
  }
  EXPECT_TRUE(wait_for([&] { return running.server().connections() == 0; }));
}

}  // namespace
}  // namespace pippin::http
