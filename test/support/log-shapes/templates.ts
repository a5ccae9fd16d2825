/**
 * Lines as the programs of such hosts write them; copied from their sources and logs. What stands in braces differs from record to
 * record (`slots.ts`). A record has one line or several; the number in front says how often it comes among those of its kind.
 */
type Record = readonly [weight: number, text: string];

const ray = (level: string, rest: string): string => `[{dt,} ${level} {self} {thread}] ${rest}`;
const raylet = (rest: string, level = 'I'): string => ray(level, `(raylet) ${rest}`);
const gcs = (rest: string, level = 'I'): string => ray(level, `(gcs_server) ${rest}`);
const python = (rest: string): string =>
  `{dt,} - {pick:trainer.loop|trainer.data|checkpoint.manager|dist.rendezvous|eval.harness} - ${rest}`;
const java = (level: string, rest: string): string =>
  `{dt.} ${level} 1 --- [{pick:nio-8080-exec-|scheduling-|kafka-consumer-}{int:1:32}] ${rest}`;
const klog = (level: string, rest: string): string => `${level}{klog}       1 ${rest}`;

const samplingParams =
  'SamplingParams(n=1, presence_penalty=0.0, frequency_penalty=0.0, repetition_penalty=1.0, temperature={pick:0.0|0.2|0.7|1.0}, ' +
  'top_p={pick:0.9|0.95|1.0}, top_k=-1, min_p=0.0, seed=None, stop=[], max_tokens={log:16:4096}, min_tokens=0, logprobs=None)';

const traceback = `Traceback (most recent call last):
  File "/opt/venv/lib/python3.11/site-packages/torch/utils/data/_utils/worker.py", line {int:290:330}, in _worker_loop
    data = fetcher.fetch(index)
  File "/opt/venv/lib/python3.11/site-packages/torch/utils/data/_utils/fetch.py", line {int:40:58}, in fetch
    data = [self.dataset[idx] for idx in possibly_batched_index]
  File "/app/{pick:train|data|serve}/{pick:pipeline|loader|shards|tokenise}.py", line {int:20:480}, in {pick:__getitem__|read_shard|decode|next_batch}
    {pick:return self.decode(self.read(index))|shard = self.shards[index // self.per_shard]|record = next(self.reader)}
{pick:ValueError: could not read shard|FileNotFoundError: [Errno 2] No such file or directory:|RuntimeError: DataLoader worker exited unexpectedly while it read|TimeoutError: no answer within 30 s while reading} 'gs://{pick:corpus-v4|tokens-eu|web-crawl-25}/{hex:8}/shard-{int:0:99999}.arrow'`;

const cudaTraceback = `[rank{int:0:63}]: Traceback (most recent call last):
[rank{same}]:   File "/app/train/loop.py", line {int:80:420}, in step
[rank{same}]:     loss = self.model(batch).loss
[rank{same}]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate {u:0.1:19.9:2} GiB. GPU {int:0:7} has a total capacity of 79.15 GiB of which {u:0.01:4.9:2} GiB is free. Process {pid} has {u:60:78:2} GiB memory in use.`;

const javaTrace = `${java('ERROR', '{pick:c.e.orders.OrderController|c.e.billing.LedgerService|c.e.feature.FeatureStore} : Request {uuid} failed')}
java.util.concurrent.CompletionException: {pick:java.net.SocketTimeoutException: Read timed out|java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms.|io.grpc.StatusRuntimeException: UNAVAILABLE: io exception}
	at java.base/java.util.concurrent.CompletableFuture.encodeThrowable(CompletableFuture.java:{int:300:340})
	at com.example.{pick:orders|billing|feature}.{pick:Store|Client|Repository}.{pick:find|load|save}({pick:Store|Client|Repository}.java:{int:30:600})
	at com.example.http.Handler.lambda$handle\${int:0:12}(Handler.java:{int:40:220})
	at java.base/java.lang.Thread.run(Thread.java:1583)
Caused by: java.net.ConnectException: Connection refused: {host}.internal/{ip}:{port}
	... {int:4:40} common frames omitted`;

const goPanic = `panic: runtime error: index out of range [{int:3:64}] with length {int:1:3}

goroutine {log:20:900000} [running]:
example.com/{pick:scheduler|router|indexer}/internal/{pick:queue|shard|lease}.(*{pick:Queue|Shard|Lease}).{pick:Pop|Assign|Renew}(0xc000{hex:6}, 0x{hex:2})
	/src/internal/{pick:queue|shard|lease}/{pick:queue|shard|lease}.go:150 +0x{hex:3}`;

export const templates = {
  ray: [
    [14, raylet('worker_pool.cc:567: Started worker process with pid {pid}, the token is {count}')],
    [
      10,
      raylet(
        'node_manager.cc:771: Disconnecting client, graceful={pick:true|false}, disconnect_type={int:0:5}, has_creation_task_exception=false',
      ),
    ],
    [8, raylet('node_manager.cc:2037: Driver (pid={pid}) is disconnected. worker_id={worker}, job_id={int:1:99}000000')],
    [10, raylet('object_store.cc:36: Object store current usage {u:0.1:58:4} / 61.0 GB.')],
    [6, raylet('local_object_manager.cc:362: Spilled {log:1:4000} MiB, {log:1:900} objects, write throughput {log:20:1900} MiB/s.')],
    [
      4,
      raylet(
        'memory_monitor.cc:99: Node memory usage above threshold, used: {int:180000000000:262000000000}, threshold: 262144000000',
        'W',
      ),
    ],
    [
      12,
      raylet(
        'node_manager.cc:744: [state-dump] - NodeManagerService.grpc_server.{pick:RequestWorkerLease|ReturnWorker|GetNodeStats|PinObjectIDs|ReportWorkerBacklog}: {log:10:90000} total ({int:0:9} active), Execution time: mean = {f:5:900:2} us, total = {f:0.1:60:2} s, Queueing time: mean = {f:5:90:2} us, max = {f:0.1:40:2} ms',
      ),
    ],
    [12, gcs('gcs_actor_manager.cc:426: Registering actor, job_id = {int:1:99}000000, actor_id = {actor}')],
    [12, gcs('gcs_actor_scheduler.cc:301: Start leasing worker from node {node} for actor {actor}, job id = {int:1:99}000000')],
    [
      12,
      gcs('gcs_actor_scheduler.cc:671: Succeeded in creating actor {actor} on worker {worker} at node {node}, job id = {int:1:99}000000'),
    ],
    [6, gcs('gcs_placement_group_scheduler.cc:762: Finished committing bundle(s) of placement group {hex:32}, node_id = {node}')],
    [
      3,
      gcs(
        'gcs_health_check_manager.cc:98: Health check failed for node {node}, remaining checks {int:0:4}, status 14, response status 0, status message failed to connect to all addresses',
        'W',
      ),
    ],
    [10, ray('I', 'core_worker.cc:3478: Got task {hex:48}, function={pick:train_step|reduce|preprocess|score}, retries left {int:0:3}')],
    [
      60,
      '({pick:RayTrainWorker|Learner|DataShard|RolloutWorker} {member}) [{dt,}] step {count} loss {walk:loss} grad_norm {f:0.05:9:3} tokens/s {log:9000:64000}',
    ],
    [
      24,
      '({pick:ReplicaActor|ServeReplica|ProxyActor} {member}) INFO {dt,} {pick:default|llm|embed}_{pick:Ranker|Router|LLMServer} {hex:8} {uuid} -- {pick:GET|POST} /{pick:v1/score|embed|healthz|rank} {pick:200|200|200|200|429|500} {f:0.6:9000:1}ms',
    ],
  ],
  vllm: [
    [
      10,
      `INFO {vllm} [logger.py:44] Received request chatcmpl-{request}: prompt: '{words:8:60}', params: ${samplingParams}, lora_request: None.`,
    ],
    [60, 'INFO {vllm} [async_llm.py:256] Added request chatcmpl-{request}.'],
    [
      90,
      'INFO:     {client} - "POST /v1/{pick:chat/completions|completions|embeddings} HTTP/1.1" {pick:200 OK|200 OK|200 OK|429 Too Many Requests|400 Bad Request}',
    ],
    [
      50,
      'INFO {vllm} [loggers.py:114] Engine 000: Avg prompt throughput: {f:10:9000:1} tokens/s, Avg generation throughput: {f:10:4000:1} tokens/s, Running: {log:1:256} reqs, Waiting: {log:1:90} reqs, GPU KV cache usage: {walk:cache}%, Prefix cache hit rate: {walk:hits}%',
    ],
    [
      8,
      'WARNING {vllm} [scheduler.py:1466] Sequence group chatcmpl-{request} is preempted by PreemptionMode.RECOMPUTE mode because there is not enough KV cache space. total_num_cumulative_preemption={count}',
    ],
    [
      12,
      'INFO {vllm} [metrics.py:484] request=chatcmpl-{request} ttft={f:0.02:9:4}s tpot={f:0.005:0.3:5}s prompt_tokens={log:8:32000} generated_tokens={log:1:4096} finish_reason={pick:stop|stop|length|abort}',
    ],
  ],
  json: [
    [
      30,
      '{"ts":"{iso}","level":"info","service":"gateway","msg":"request finished","method":"{pick:GET|POST|PUT}","path":"/v1/{pick:models|users|jobs|files}/{log:1:900000}","status":{pick:200|200|200|201|404|503},"ms":{f:0.4:9000:3},"trace":"{trace}"}',
    ],
    [
      20,
      '{"level":"{pick:info|info|info|warn|debug}","ts":{epoch},"caller":"{pick:server/handler.go:88|queue/lease.go:214|store/cache.go:143}","msg":"{pick:lease renewed|cache miss|shard moved|job enqueued}","key":"{user}","host":"{me}","took":{f:0.00001:2:9}}',
    ],
    [
      18,
      '{"event":"train_step","step":{count},"loss":{walk:loss},"lr":{f:0.0000001:0.0003:10},"grad_norm":{f:0.05:9:6},"tokens_per_s":{log:9000:64000},"rank":{rank},"timestamp":"{iso}"}',
    ],
    [
      12,
      '{"time":"{iso}","severity":"{pick:INFO|INFO|WARNING|ERROR}","message":"{words:4:14}","logger":"{pick:auth|billing|mailer}","user_id":"{user}","request_id":"{reconcile}"}',
    ],
    [
      8,
      '{"ts":"{iso}","level":"error","service":"{pick:indexer|billing|gateway}","msg":"{pick:deadline exceeded|connection reset by peer|too many open files}","peer":"{ip}:{port}","attempt":{int:1:7},"backoff_ms":{log:100:60000},"trace":"{trace}"}',
    ],
  ],
  python: [
    [50, python('INFO - step {count}: loss={walk:loss} lr={f:0.0000001:0.0003:8} {f:0.1:4:3} s/step, data wait {f:0.001:1:4} s')],
    [
      14,
      python(
        'INFO - Saved checkpoint step-{count} to gs://{pick:ckpt-eu|ckpt-us}/{pick:llama-70b|gemma-27b|t5-xxl}/{hex:12} in {f:1:240:2} s ({log:100000000:90000000000} bytes)',
      ),
    ],
    [10, python('WARNING - {words:6:16} (attempt {int:1:9}, {me}, {f:0.1:60:1} s)')],
    [3, `${python('ERROR - batch {count} could not be loaded')}\n${traceback}`],
    [1, cudaTraceback],
    [
      4,
      '{me}:{self}:{thread} [{rank}] NCCL WARN transport/net_socket.cc:441 Call to recv from {ip}<{port}> failed : Connection reset by peer',
    ],
  ],
  tqdm: [
    [30, 'Epoch 3: {progress:80000}it/s, loss={walk:loss}, lr={f:0.000001:0.0003:7}]'],
    [10, 'Downloading shards: {progress:4096}MB/s] model-{int:1:191:5}-of-00191.safetensors'],
    [6, 'Evaluating {pick:mmlu|gsm8k|hellaswag|humaneval}: {progress:14042}it/s, acc={walk:accuracy}]'],
  ],
  java: [
    [
      30,
      java(
        'INFO',
        'c.e.orders.OrderController : Order {log:100000:99999999} of customer {user} placed in {log:2:4000} ms, {int:1:12} items, total {f:1:4000:2} EUR',
      ),
    ],
    [
      30,
      '{spark} INFO TaskSetManager: Finished task {log:1:4000}.0 in stage {log:1:900}.0 (TID {count}) in {log:8:90000} ms on {host} (executor {int:1:64}) ({log:1:2000}/2000)',
    ],
    [
      14,
      '{spark} INFO BlockManagerInfo: Added broadcast_{count}_piece0 in memory on {ip}:{port} (size: {u:1:990:1} KiB, free: {u:1:34:1} GiB)',
    ],
    [
      6,
      java(
        'WARN',
        'o.a.k.c.consumer.internals.Fetcher : [Consumer clientId=c-{hex:8}, groupId=features] Fetch of partition events-{int:0:255} at offset {log:100000:9000000000} is out of range',
      ),
    ],
    [2, javaTrace],
  ],
  go: [
    [
      26,
      klog(
        'I',
        'controller.go:178] "Reconciled" controller="{pick:pod|job|node|lease}" namespace="{pick:train|serve|kube-system}" name="{host}-{hex:5}" reconcileID="{reconcile}" duration="{f:0.2:900:6}ms"',
      ),
    ],
    [
      6,
      klog(
        'E',
        'reflector.go:543] "Unhandled Error" err="Get \\"https://10.0.0.1:443/api/v1/{pick:nodes|pods|leases}?resourceVersion={log:1000000:90000000}\\": dial tcp {ip}:443: i/o timeout"',
      ),
    ],
    [
      24,
      'time="{iso}" level={pick:info|info|info|warning|error} msg="{pick:snapshot written|lease lost|peer joined|compaction done|slow apply}" component={pick:raft|store|http} peer={peer} took={f:0.05:900:6}ms revision={count}',
    ],
    [
      14,
      '{ip} - {user} [{clf} +0000] "{pick:GET|POST|HEAD} /{pick:api/v2/query|static/app|metrics|graphql}?id={hex:10} HTTP/1.1" {pick:200|200|200|304|404|502} {log:90:900000} "-" "{pick:curl/8.5.0|Go-http-client/2.0|kube-probe/1.31|python-requests/2.32.3}" {f:0.001:9:3}',
    ],
    [1, goPanic],
  ],
} as const satisfies { readonly [kind: string]: readonly Record[] };

export type LogKind = keyof typeof templates;

/** How many records of each kind a host with all of them writes. */
export const mixture: { readonly [Kind in LogKind]: number } = { ray: 22, vllm: 28, json: 13, python: 14, tqdm: 11, java: 6, go: 6 };

/** Prompts and messages: what people write repeats its words, not its sentences. */
export const vocabulary =
  `a about above according account across action after again against agent all almost also always am among an analysis and another answer
any api are argument array as ask at author available away back base batch be because been before begin being below best better between big bit block body
both box build but buffer by call can case cause change character check choose city class clear client close code column come common compare complete compute
concept consider contain content context continue convert copy correct cost could country create current customer data date day decide default define delete
depend describe design detail develop difference different digit direct discuss do document does down draw during each early easy edge effect either element
else email end energy engine enough entry equal error even event ever every example except expect explain express fact fail false family far fast feature
few field figure file final find first fit fix flow follow for force form found four free from full function further future game general generate get give
global go good graph great group grow half hand happen hard has have he head hear help here high history hold home host hour house how however human idea if
image important in include increase index information input inside instead into introduce is issue it item its job join just keep key kind know language
large last late law layer lead learn least leave left length less let letter level library life light like limit line list little live local long look lose
low machine main make man many map mark match matter may me mean measure memory message method might mind model moment money more most move much must my name
nature near need network never new next night no node none normal not note nothing now number object of off often old on once one only open operation option
or order other our out output over own page paper parameter part pass path pattern people per place plan play please point possible power present problem
process produce program project provide public question queue quick quite random range rate rather read reason record reduce region release report request
require research resource rest result return review right room round row rule run same sample save say scale schema school science search second section see
seem select send sentence sequence series server set several shape share short should show side sign similar simple since single size small so social some
something source space speak special specific speed stack stage standard start state step still stop store story stream string structure student study style
subject such suggest sum summarise support sure system table take task team tell temperature term test text than that the their them then theory there these
they thing think this those though thread three through time title to today together token too tool top topic total toward train translate tree true try turn
two type under understand unit until up update upon us use user usually value variable vector version very view visit want was water way we week weight well
were what when where which while white who whole why will window with within without word work world would write wrong year yes yet you young your zero`.split(
    /\s+/,
  );
