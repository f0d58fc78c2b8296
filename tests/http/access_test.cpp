// Keys and TLS as a client meets them.
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "http/running_server.h"

namespace pippin::http {
namespace {

class FakeContext final : public RequestContext {
 public:
  const std::string& key_id() const override { return id_; }
  const Permissions& permissions() const override { return permissions_; }
  Result<void> take_prompt(int64_t) override { return {}; }
  bool take_token() override { return true; }
  void leave() override { ++left; }
  Taken taken() const override { return {3, 4}; }
  std::vector<std::pair<std::string, std::string>> headers() const override {
    return {{"x-ratelimit-limit-requests", "7"}};
  }
  std::atomic<int> left{0};

 private:
  const std::string id_ = "k1";
  const Permissions permissions_;
};

struct TestKeys {
  std::shared_ptr<FakeContext> caller = std::make_shared<FakeContext>();
  std::mutex mutex;
  std::vector<std::string> lines;  // of the audit

  Options options() {
    Options options = test_options();
    options.authenticate = [this](const std::vector<std::string_view>& keys) -> Authentication {
      for (const std::string_view key : keys) {
        if (key == "good") return {caller, std::nullopt};
        if (key != "busy") continue;
        Error error = fail(Code::kRateLimited, "slow down");
        error.retry_after_s = 17;
        return {caller, error};
      }
      return {nullptr, fail(Code::kUnauthenticated, "no key")};
    };
    options.audit = [this](const AuditEntry& entry) {
      const std::lock_guard lock(mutex);
      lines.push_back(std::string(entry.key_id) + " " + std::string(entry.path) + " " +
                      std::to_string(entry.status) + " " +
                      std::to_string(entry.tokens.answer_tokens) + " " + std::string(entry.peer) +
                      " " + std::string(entry.body));
    };
    return options;
  }
};

TEST(KeyCheck, TakesAKeyInAnyOfThreeHeaders) {
  TestKeys keys;
  RunningServer running(keys.options());
  for (const char* header :
       {"Authorization: Bearer good\r\n", "authorization: bEARER  good \r\n", "x-api-key: good\r\n",
        "api-key: good\r\n", "x-api-key: stale\r\nAuthorization: Bearer good\r\n"}) {
    const Reply reply = running.client().get("/echo", header);
    EXPECT_EQ(reply.status, 200) << header;
    EXPECT_EQ(reply.headers.at("x-ratelimit-limit-requests"), "7");
  }
  for (const char* header :
       {"", "Authorization: Bearer bad\r\n", "Authorization: good\r\n",
        "Authorization: Basic good\r\n", "x-api-key: \r\n", "Cookie: api-key=good\r\n"}) {
    const Reply reply = running.client().get("/echo", header);
    EXPECT_EQ(reply.status, 401) << header;
    EXPECT_EQ(reply.headers.at("www-authenticate"), "Bearer");
    EXPECT_EQ(reply.headers.count("x-ratelimit-limit-requests"), 0u);
  }
  const Reply busy = running.client().get("/echo", "x-api-key: busy\r\n");
  EXPECT_EQ(busy.status, 429);
  EXPECT_EQ(busy.headers.at("retry-after"), "17");
}

TEST(KeyCheck, AsksForTheRoleOfTheRoute) {
  TestKeys keys;
  {
    RunningServer running(keys.options());
    const Reply refused = running.client().post("/managed", "text", "x-api-key: good\r\n");
    EXPECT_EQ(refused.status, 403);
    EXPECT_NE(refused.body.find("`manage`"), std::string::npos) << refused.body;
    EXPECT_EQ(running.client().post("/echo", "text", "x-api-key: good\r\n").status, 200);
  }
  RunningServer open;
  EXPECT_EQ(open.client().post("/managed", "text").status, 200) << "nobody asks for keys";
}

TEST(KeyCheck, AuditsWhatItRefuses) {
  TestKeys keys;
  RunningServer running(keys.options());
  EXPECT_EQ(running.client().get("/echo", "x-api-key: busy\r\n").status, 429);
  ASSERT_TRUE(wait_for([&] { return keys.caller->left == 1; }));
  const std::lock_guard lock(keys.mutex);
  EXPECT_EQ(keys.lines, std::vector<std::string>{"k1 /echo 429 4 127.0.0.1 "});
}

TEST(KeyCheck, CoversEveryPathButHealth) {
  TestKeys keys;
  RunningServer running(keys.options());
  for (const char* path : {"/", "/echo", "/none", "/healthy", "/health/x", "/%68ealth/../echo"})
    EXPECT_EQ(running.client().get(path).status, 401) << path;
  EXPECT_EQ(running.client().get("/health").status, 200) << "needs no key";
  const auto options = [&](const std::string& headers) {
    Client client = running.client();
    client.send("OPTIONS /echo HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n");
    return client.reply().status;
  };
  EXPECT_EQ(options(""), 401);
  EXPECT_EQ(options("Origin: http://localhost:3000\r\n"), 401);
  EXPECT_EQ(options("Origin: http://localhost:3000\r\nAccess-Control-Request-Method: POST\r\n"),
            204);
  EXPECT_EQ(running.client().post("/echo", std::string(100'000, 'x')).status, 401)
      << "before the body is read";
}

TEST(KeyCheck, EndsTheContextWithTheAnswerAndAuditsIt) {
  TestKeys keys;
  RunningServer running(keys.options());
  Client client = running.client();
  EXPECT_EQ(client.post("/echo", "text", "x-api-key: good\r\n").status, 200);
  EXPECT_TRUE(wait_for([&] { return keys.caller->left == 1; }));
  EXPECT_EQ(client.get("/echo").status, 401) << "each request brings its own";
  client.send("GET /parked HTTP/1.1\r\nHost: localhost\r\nx-api-key: good\r\n\r\n");
  const auto exchange = running.parked().take();
  ASSERT_NE(exchange, nullptr);
  EXPECT_EQ(exchange->request().caller, keys.caller);
  client.reset();
  EXPECT_TRUE(wait_for([&] { return keys.caller->left == 2; }));
  const std::lock_guard lock(keys.mutex);
  EXPECT_EQ(keys.lines,
            (std::vector<std::string>{"k1 /echo 200 4 127.0.0.1 text", " /echo 401 0 127.0.0.1 ",
                                      "k1 /parked 499 4 127.0.0.1 "}));
}

TEST(Server, AnotherSitesPageAsksForNothingWithoutAnAllowedOrigin) {
  RunningServer running;
  const auto status = [&](const std::string& path, const std::string& headers) {
    return running.client().get(path, headers).status;
  };
  for (const char* site : {"cross-site", "same-site", "Cross-Site"}) {
    const std::string header = std::string("Sec-Fetch-Site: ") + site + "\r\n";
    EXPECT_EQ(status("/echo", header), 403) << site;
    EXPECT_EQ(status("/health", header), 200) << site;
    EXPECT_EQ(status("/", header), 404) << site << ": it may be linked to";
    EXPECT_EQ(status("/echo", header + "Origin: http://localhost:3000\r\n"), 200) << site;
  }
  EXPECT_EQ(status("/echo", "Sec-Fetch-Site: same-origin\r\n"), 200);
  EXPECT_EQ(status("/echo", "Sec-Fetch-Site: none\r\n"), 200) << "the user typed it";
  Options options = test_options();
  options.cors_origins = {"*"};
  RunningServer open(options);
  EXPECT_EQ(open.client().get("/echo", "Sec-Fetch-Site: cross-site\r\n").status, 200);
}

/// A certificate for localhost, signed by itself, in a folder of its own.
class Certificate {
 public:
  Certificate()
      : folder_(std::filesystem::temp_directory_path() /
                ("pippin_tls_" + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder_);
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME* name = X509_get_subject_name(certificate);
    const auto* localhost = reinterpret_cast<const unsigned char*>("localhost");
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, localhost, -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_sign(certificate, key, EVP_sha256());
    FILE* file = std::fopen(cert().c_str(), "w");
    PEM_write_X509(file, certificate);
    std::fclose(file);
    file = std::fopen(this->key().c_str(), "w");
    PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
  }
  ~Certificate() { std::filesystem::remove_all(folder_); }

  std::string cert() const { return folder_ / "cert.pem"; }
  std::string key() const { return folder_ / "key.pem"; }
  Options options() const {
    Options options = test_options();
    options.tls_cert_path = cert();
    options.tls_key_path = key();
    return options;
  }

 private:
  const std::filesystem::path folder_;
};

/// A blocking TLS client.
class TlsClient {
 public:
  TlsClient(uint16_t port, int version_max = TLS1_3_VERSION)
      : context_(SSL_CTX_new(TLS_client_method()), SSL_CTX_free), ssl_(nullptr, SSL_free) {
    std::signal(SIGPIPE, SIG_IGN);  // as the program does
    SSL_CTX_set_max_proto_version(context_.get(), version_max);
    if (version_max < TLS1_2_VERSION) {
      SSL_CTX_set_min_proto_version(context_.get(), version_max);
      SSL_CTX_set_security_level(context_.get(), 0);
    }
    ssl_.reset(SSL_new(context_.get()));
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval limit{20, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return;
    SSL_set_fd(ssl_.get(), fd_);
    connected_ = SSL_connect(ssl_.get()) == 1;
  }
  ~TlsClient() { ::close(fd_); }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  bool connected() const { return connected_; }
  int version() const { return SSL_version(ssl_.get()); }
  /// Sends bytes that need not be a record.
  void send_raw(std::string_view bytes) const {
    EXPECT_EQ(::send(fd_, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  }
  void send(const std::string& bytes) {
    size_t sent = 0;
    while (sent < bytes.size()) {
      const int n =
          SSL_write(ssl_.get(), bytes.data() + sent, static_cast<int>(bytes.size() - sent));
      if (n <= 0) return;
      sent += static_cast<size_t>(n);
    }
  }
  /// Reads until the server ends; `clean` says whether it said so.
  std::string rest() {
    std::string all;
    char block[16384];
    int n = 0;
    while ((n = SSL_read(ssl_.get(), block, sizeof block)) > 0)
      all.append(block, static_cast<size_t>(n));
    clean = SSL_get_error(ssl_.get(), n) == SSL_ERROR_ZERO_RETURN;
    return all;
  }
  /// Reads until `text` has come.
  std::string until(const std::string& text) {
    std::string all;
    char block[16384];
    while (all.find(text) == std::string::npos) {
      const int n = SSL_read(ssl_.get(), block, sizeof block);
      if (n <= 0) break;
      all.append(block, static_cast<size_t>(n));
    }
    return all;
  }
  bool clean = false;

 private:
  std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context_;
  std::unique_ptr<SSL, void (*)(SSL*)> ssl_;
  int fd_ = -1;
  bool connected_ = false;
};

TEST(Tls, AnswersRequestAfterRequest) {
  const Certificate certificate;
  RunningServer running(certificate.options());
  for (const int version : {TLS1_3_VERSION, TLS1_2_VERSION}) {
    TlsClient client(running.port(), version);
    ASSERT_TRUE(client.connected());
    EXPECT_EQ(client.version(), version);
    const std::string body(300'000, 'b');
    client.send("POST /size HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\n\r\n" + body);
    EXPECT_NE(client.until("300000").find("HTTP/1.1 200"), std::string::npos);
    client.send(
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: "
        "300000\r\n\r\n" +
        body);
    const std::string answer = client.rest();
    EXPECT_TRUE(answer.ends_with(body)) << answer.size();
    EXPECT_TRUE(client.clean) << "an end is told from a cut";
  }
}

TEST(Tls, Streams) {
  const Certificate certificate;
  RunningServer running(certificate.options());
  TlsClient client(running.port());
  client.send("GET /parked HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto exchange = running.parked().take();
  ASSERT_NE(exchange, nullptr);
  exchange->start_stream({200, "text/event-stream", "", {}});
  EXPECT_TRUE(exchange->write("data: 1\n\n"));
  EXPECT_NE(client.until("data: 1\n\n").find("200 OK"), std::string::npos);
  EXPECT_TRUE(
      exchange->write(std::string(2'000'000, 'x') + "\n\n"));  // more than a socket takes at once
  exchange->finish();
  EXPECT_GT(client.until("\r\n0\r\n\r\n").size(), 2'000'000u);
}

TEST(Tls, RefusesWhatIsNotTls12) {
  const Certificate certificate;
  RunningServer running(certificate.options());
  EXPECT_FALSE(TlsClient(running.port(), TLS1_1_VERSION).connected());
  Client plain = running.client();
  plain.send("GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n");
  while (plain.fill()) {
  }
  EXPECT_EQ(plain.input().find("HTTP/1.1 200"), std::string::npos);
  Client silent = running.client();
  TlsClient client(running.port());
  EXPECT_TRUE(client.connected()) << "a client that never starts a handshake blocks nobody";
  client.send("GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_NE(client.rest().find("HTTP/1.1 200"), std::string::npos);
}

TEST(Tls, AHandshakeThatTakesTooLongEnds) {
  const Certificate certificate;
  Options options = certificate.options();
  options.header_timeout = Milliseconds(200);
  RunningServer running(options);
  Client silent = running.client();
  EXPECT_FALSE(silent.fill());
  EXPECT_TRUE(silent.closed_cleanly());
}

/// Processor time of this whole process so far.
std::chrono::nanoseconds cpu_time() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

TEST(Tls, HalfARecordIsWaitedForWithoutWork) {
  const Certificate certificate;
  RunningServer running(certificate.options());
  TlsClient client(running.port());
  ASSERT_TRUE(client.connected());
  client.send("GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_NE(client.until("GET /echo").find("200 OK"), std::string::npos);
  std::vector<Client> strangers;
  const std::string_view start("\x16\x03\x01\x02\x00\x01", 6);
  for (const size_t size : {3u, 6u}) {
    strangers.push_back(running.client());
    strangers.back().send(start.substr(0, size));
  }
  client.send_raw(std::string_view("\x17\x03\x03", 3));  // after the handshake, too
  std::this_thread::sleep_for(Milliseconds(50));         // until all is read
  const auto before = cpu_time();
  std::this_thread::sleep_for(Milliseconds(400));
  EXPECT_LT(cpu_time() - before, Milliseconds(40));
  const auto begin = Steady::now();
  running.server().stop(Milliseconds(5000));
  EXPECT_LT(Steady::now() - begin, Milliseconds(1000)) << "nor does a drain wait for it";
}

TEST(Tls, SaysWhatIsWrongWithItsFiles) {
  const Certificate certificate;
  WorkerPool workers(1, 8);
  const auto error_of = [&](const std::string& cert, const std::string& key) {
    Options options = test_options();
    options.tls_cert_path = cert;
    options.tls_key_path = key;
    Server server(options, api::Router(), workers);
    const auto started = server.start();
    return started.ok() ? std::string() : started.error().message;
  };
  EXPECT_NE(error_of("/none/cert.pem", certificate.key()).find("/none/cert.pem"),
            std::string::npos);
  EXPECT_NE(error_of(certificate.cert(), "/none/key.pem").find("/none/key.pem"), std::string::npos);
  EXPECT_NE(error_of(certificate.key(), certificate.key()).find("certificate"), std::string::npos);
  EXPECT_EQ(error_of(certificate.cert(), certificate.key()), "");
}

}  // namespace
}  // namespace pippin::http
