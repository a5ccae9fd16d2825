/** Who else keeps making a container, for a person: two owners of one name cannot both win. */

export interface ContainerOwner {
  readonly who: string;
  /** What to do about it. */
  readonly advice: string;
}

type Labels = Readonly<Record<string, string>>;

/** Null: its labels name nobody. */
export function ownerFromLabels(labels: Labels): ContainerOwner | null {
  const compose = labels['com.docker.compose.project'];
  if (compose !== undefined) {
    const service = labels['com.docker.compose.service'] ?? '';
    const files = labels['com.docker.compose.project.config_files'];
    return {
      who: `Docker Compose (project ${compose}, service ${service}${files === undefined ? '' : `, ${files}`})`,
      advice: `Take the service ${service} out of the Compose file, or give Relight's container another name.`,
    };
  }
  const swarm = labels['com.docker.swarm.service.name'];
  if (swarm !== undefined) return { who: `Docker Swarm (service ${swarm})`, advice: `Remove the service: docker service rm ${swarm}.` };
  const pod = labels['io.kubernetes.pod.name'];
  if (pod !== undefined) {
    const namespace = labels['io.kubernetes.pod.namespace'] ?? 'default';
    return { who: `Kubernetes (pod ${namespace}/${pod})`, advice: 'Let Kubernetes keep it, or remove it there.' };
  }
  const nomad = labels['com.hashicorp.nomad.job_name'] ?? labels['com.hashicorp.nomad.alloc_id'];
  if (nomad !== undefined) return { who: `Nomad (${nomad})`, advice: 'Stop the job there.' };
  return null;
}

/** One process of the host, as far as it tells who runs `docker run`. */
export interface HostCommand {
  readonly pid: number;
  readonly argv: readonly string[];
  /** Its line of /proc/PID/cgroup. */
  readonly cgroup: string;
}

/** A client that waits in the foreground (`docker run --name NAME` in a unit, in a loop), or the agent of `ray up`. Null: none is there. */
export function ownerFromProcesses(name: string, processes: readonly HostCommand[]): ContainerOwner | null {
  for (const { pid, argv, cgroup } of processes) {
    const program = argv[0]?.split('/').at(-1) ?? '';
    if (!/^(docker|podman|nerdctl)$/.test(program) || !argv.some((word) => word === 'run' || word === 'start')) continue;
    if (!argv.includes(name) && !argv.includes(`--name=${name}`)) continue;
    const unit = /\/([^/]+\.service)(?:\/|$)/.exec(cgroup)?.[1];
    if (unit !== undefined && !/^(user@\d+|ssh|sshd|docker|containerd)\.service$/.test(unit)) {
      return { who: `the systemd unit ${unit} (${program} run, pid ${pid})`, advice: `Stop it for good: systemctl disable --now ${unit}.` };
    }
    return { who: `${argv.slice(0, 4).join(' ')} … (pid ${pid})`, advice: `Stop that process and whatever starts it again.` };
  }
  return null;
}

/** `ray up` leaves no label; these are the names in its examples and in the files of those who copied them. */
export function ownerFromName(name: string): ContainerOwner | null {
  if (!/^ray_(container|docker|node)$/.test(name)) return null;
  return {
    who: '"ray up" or the autoscaler of the head, by its name',
    advice: 'Take this host out of the cluster file: the autoscaler sets up again what it counts among its workers.',
  };
}

/** Tools that replace running containers by themselves, by their own labels or images. */
export function isUpdater(image: string, labels: Labels): boolean {
  return /(^|\/)watchtower(:|@|$)/.test(image) || labels['com.centurylinklabs.watchtower'] === 'true';
}
