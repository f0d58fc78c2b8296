// Requests and answers as a plain client sees them.
#include "http/running_server.h"

namespace pippin::http {
namespace {

TEST(Server, AnswersAndKeepsAlive) {
  RunningServer running;
  Client client = running.client();
  for (int i = 0; i < 3; ++i) {
    const Reply reply = client.get("/echo?n=" + std::to_string(i));
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.body, "GET /echo?n=" + std::to_string(i) + "\n");
    EXPECT_EQ(reply.headers.count("connection"), 0u);
  }
  EXPECT_EQ(running.server().connections(), 1u);
}

TEST(Server, PercentDecodesAndCaptures) {
  RunningServer running;
  Client client = running.client();
  EXPECT_EQ(client.get("/echo/a%20b/c%2Fd").body, "GET /echo/a b/c/d? {a b/c/d}\n");
}

TEST(Server, AnswersPipelinedRequestsInOrder) {
  RunningServer running;
  Client client = running.client();
  std::string requests;
  for (int i = 0; i < 50; ++i)
    requests += "POST /echo?" + std::to_string(i) +
                " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc";
  client.send(requests);
  for (int i = 0; i < 50; ++i)
    EXPECT_EQ(client.reply().body, "POST /echo?" + std::to_string(i) + "\nabc");
}

TEST(Server, KeepsEarlyBytesWhileAnAnswerIsMade) {
  RunningServer running;
  Client client = running.client();
  client.send("GET /parked HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto exchange = running.parked().take();
  ASSERT_NE(exchange, nullptr);
  bool left = false;
  exchange->on_disconnect([&] { left = true; });
  client.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nabc");
  std::this_thread::sleep_for(Milliseconds(20));
  exchange->respond({200, "text/plain", "first", {}});
  EXPECT_EQ(client.reply().body, "first");
  client.send("def");
  EXPECT_EQ(client.reply().body, "POST /echo?\nabcdef");
  EXPECT_FALSE(left);
}

TEST(Server, ReadsChunkedBodies) {
  RunningServer running;
  Client client = running.client();
  client.send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhel");
  std::this_thread::sleep_for(Milliseconds(5));
  client.send("lo\r\n6\r\n world\r\n0\r\nTrailer: x\r\n\r\n");
  EXPECT_EQ(client.reply().body, "POST /echo?\nhello world");
  EXPECT_EQ(client.get("/echo").status, 200);
}

TEST(Server, SendsContinueWhenExpected) {
  RunningServer running;
  Client client = running.client();
  client.send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: "
      "2\r\n\r\n");
  EXPECT_EQ(client.reply().status, 100);
  client.send("ok");
  EXPECT_EQ(client.reply().body, "POST /echo?\nok");
  client.send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: miracles\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.reply().status, 417);
}

TEST(Server, AnswersHeadWithoutBody) {
  RunningServer running;
  Client client = running.client();
  client.send("HEAD /echo HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const Reply reply = client.reply(true);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.at("content-length"), "12");
  EXPECT_EQ(client.get("/echo").status, 200) << "no body bytes in between";
}

TEST(Server, HonoursConnectionCloseAndHttp10) {
  RunningServer running;
  Client one = running.client();
  EXPECT_EQ(one.get("/echo", "Connection: close\r\n").headers.at("connection"), "close");
  EXPECT_FALSE(one.fill());
  EXPECT_TRUE(one.closed_cleanly());
  Client old = running.client();
  old.send("GET /echo HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.reply().body, "GET /echo?\n");
  EXPECT_FALSE(old.fill());
  Client old_kept = running.client();
  old_kept.send("GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(old_kept.reply().headers.at("connection"), "keep-alive");
  EXPECT_EQ(old_kept.get("/echo").status, 200);
}

TEST(Server, RefusesUnknownPathsAndMethods) {
  RunningServer running;
  Client client = running.client();
  const Reply missing = client.get("/nowhere");
  EXPECT_EQ(missing.status, 404);
  EXPECT_NE(missing.body.find("/nowhere"), std::string::npos);
  EXPECT_EQ(missing.headers.at("content-type"), "text/plain");
  client.send("DELETE /echo HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const Reply wrong = client.reply();
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.at("allow"), "GET, POST");
  EXPECT_EQ(client.get("/echo").status, 200) << "such errors do not end the connection";
}

TEST(Server, EchoesSaneRequestIdsAndMakesOthers) {
  RunningServer running;
  Client client = running.client();
  EXPECT_EQ(client.get("/echo", "X-Request-Id: abc-1\r\n").headers.at("x-request-id"), "abc-1");
  const std::string made = client.get("/echo", "X-Request-Id: a b\r\n").headers.at("x-request-id");
  EXPECT_EQ(made.substr(0, 4), "req-");
  EXPECT_EQ(client.get("/echo", "X-Request-Id: abc-2\r\n").headers.at("request-id"), "abc-2");
  EXPECT_NE(client.get("/echo").headers.at("x-request-id"), made);
}

TEST(Server, ChecksTheHost) {
  RunningServer running;
  const auto status = [&](const std::string& headers) {
    Client client = running.client();
    client.send("GET /echo HTTP/1.1\r\n" + headers + "\r\n");
    return client.reply().status;
  };
  EXPECT_EQ(status("Host: 127.0.0.1:99\r\n"), 200);
  EXPECT_EQ(status("Host: evil.example\r\n"), 403);
  EXPECT_EQ(status(""), 400);
  EXPECT_EQ(status("Host: localhost\r\nHost: localhost\r\n"), 400);
}

TEST(Server, Cors) {
  RunningServer running;
  Client client = running.client();
  const Reply page = client.get("/echo", "Origin: http://localhost:3000\r\n");
  EXPECT_EQ(page.headers.at("access-control-allow-origin"), "http://localhost:3000");
  EXPECT_EQ(page.headers.at("vary"), "Origin");
  EXPECT_EQ(client.get("/echo").headers.count("access-control-allow-origin"), 0u);
  const Reply evil = client.get("/echo", "Origin: https://evil.example\r\n");
  EXPECT_EQ(evil.status, 403);
  EXPECT_EQ(evil.headers.count("access-control-allow-origin"), 0u);
  EXPECT_EQ(client.get("/echo", "Origin: vscode-webview://abc\r\n").status, 200);

  client.send(
      "OPTIONS /echo HTTP/1.1\r\nHost: localhost\r\nOrigin: http://127.0.0.1:5173\r\n"
      "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization, "
      "content-type\r\n\r\n");
  const Reply preflight = client.reply();
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(preflight.headers.at("access-control-allow-origin"), "http://127.0.0.1:5173");
  EXPECT_EQ(preflight.headers.at("access-control-allow-methods"), "GET, POST");
  EXPECT_EQ(preflight.headers.at("access-control-allow-headers"), "authorization, content-type");
  EXPECT_EQ(client.get("/echo").status, 200);
}

TEST(Server, AnswersWhatAHandlerDropped) {
  RunningServer running;
  Client client = running.client();
  const Reply reply = client.get("/dropped");
  EXPECT_EQ(reply.status, 500);
  EXPECT_NE(reply.body.find("dropped without an answer"), std::string::npos);
  EXPECT_EQ(client.get("/echo").status, 200);
}

TEST(Server, UsesTheGivenErrorForm) {
  Options options = test_options();
  options.error_form = [](std::string_view path, int status, const Error&) {
    return api::Response{status, "text/plain", "mine: " + std::string(path), {}};
  };
  RunningServer running(options);
  EXPECT_EQ(running.client().get("/v1/none").body, "mine: /v1/none");
}

TEST(Server, SaysWhichAddressIsInUse) {
  RunningServer running;
  WorkerPool workers(1, 1);
  Options options = test_options();
  options.port = running.port();
  Server second(options, {}, workers);
  const auto started = second.start();
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.error().code, Code::kUnavailable);
  EXPECT_NE(started.error().message.find("127.0.0.1:" + std::to_string(running.port())),
            std::string::npos)
      << started.error().message;
  options.host = "no.such.host.invalid";
  Server third(options, {}, workers);
  EXPECT_EQ(third.start().error().code, Code::kInvalidArgument);
}

TEST(Server, SpreadsOverSeveralIoThreads) {
  Options options = test_options();
  options.io_threads = 3;
  RunningServer running(options);
  std::vector<Client> clients;
  for (int i = 0; i < 9; ++i) clients.push_back(running.client());
  for (Client& client : clients) EXPECT_EQ(client.get("/echo").status, 200);
}

}  // namespace
}  // namespace pippin::http
