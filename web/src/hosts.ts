// What hosts and tools are called. A host that is not in the table shows under the word that the service uses.

const HOSTS: Record<string, { name: string; sign: string }> = {
  github: { name: 'GitHub', sign: 'GH' },
  gitlab: { name: 'GitLab', sign: 'GL' },
  gitea: { name: 'Gitea', sign: 'GT' },
  forgejo: { name: 'Forgejo', sign: 'FJ' },
  bitbucket: { name: 'Bitbucket', sign: 'BB' },
  gitee: { name: 'Gitee', sign: 'GE' },
};

export function hostName(host: string): string {
  return HOSTS[host]?.name ?? host;
}

export function hostSign(host: string): string {
  return HOSTS[host]?.sign ?? host.slice(0, 2).toUpperCase();
}
